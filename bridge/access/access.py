"""Who asks: from the first credential of a request to one :class:`Identity`.

The order is bearer token, ticket, a trusted proxy's header, the OA's own cookies, cookie. The first that is present
decides, without falling through, because a request that carries two identities must not be served as the one that
happens to work. For the same reason all cookies with the name are checked: their order says nothing about who uses the
browser. No other code knows how an identity was proved.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

from aiohttp import hdrs

from bridge.access import codes
from bridge.access.asking import Asking
from bridge.access.claims import LEEWAY_S, Rules, issued_of
from bridge.access.cookies import cookie_values
from bridge.access.identity import Identity
from bridge.access.refused import Refused, quoted
from bridge.events import from_json, normalise_address, to_json

__all__ = [
    "TICKET_S",
    "Access",
    "Credential",
    "Herald",
    "Identity",
    "Office",
    "Refused",
    "Tickets",
    "Verifier",
    "address_of",
    "read_identity",
    "session_of",
]

Credential = Literal["bearer", "ticket", "header", "oa", "cookie"]

_MOST_FURTHER: Final = 20
_NO_SCOPE: Final[frozenset[str]] = frozenset()
"""One for all, because each would take 0.2 KB."""
TICKET_S: Final = 30
"""How long a ticket can be used, at most; it does not outlive its token."""


class Verifier(Protocol):
    """Proves tokens: by shared secret, or by published keys."""

    rules: Rules

    async def prove(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token whose signature is good; raise :class:`Refused` for any other."""
        ...

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is valid now; raise :class:`Refused` for any other."""
        ...

    async def vouch(self, token: str) -> tuple[Mapping[str, Any], str]:
        """As :meth:`verify`, with what the secret behind the token is called; ``""`` where it cannot be taken away."""
        ...

    def believes(self, signer: str) -> bool:
        """Whether what this one signed still counts."""
        ...


class Herald(Protocol):
    """Says who asks without a credential of the browser's that we could look at: a proxy that signed people in."""

    def speaks(self, request: Asking) -> bool:
        """Whether it says something of this request."""

    def identify(self, request: Asking) -> Identity:
        """What it says; raise :class:`Refused` for what names nobody."""


class Office(Protocol):
    """Says who asks with the cookies of its own sessions: the OA, which is asked."""

    def speaks(self, request: Asking) -> bool:
        """Whether there is such a cookie."""

    async def identify(self, request: Asking) -> Identity:
        """Whose session that is; raise :class:`Refused` for nobody's, and if that cannot be known."""
        ...


class Tickets(Protocol):
    """Stores what a ticket stands for, for one use within seconds; all processes share the store."""

    async def put_ticket(self, claims: bytes, *, life_s: int = TICKET_S) -> str: ...

    async def take_ticket(self, ticket: str) -> bytes | None: ...


class Access:
    """Finds out who asks. Faults of the ticket store pass through: the caller knows how its protocol reports them."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        tickets: Tickets,
        cookie_name: str,
        claim: str,
        herald: Herald | None = None,
        office: Office | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._herald = herald
        self._office = office
        self._verifier = verifier
        self._tickets = tickets
        self._cookie_name = cookie_name
        self._claim = claim
        self._now = now

    def credential(self, request: Asking) -> Credential | None:
        """Return which credential decides, without checking it."""
        return self._found(request)[0]

    def _found(self, request: Asking) -> tuple[Credential | None, Sequence[str]]:
        """The credential that decides; of bearer, ticket and cookie the values too, of which there is at least one."""
        # Other schemes are ignored: a browser sends a proxy's Basic password with every request of the page.
        if (token := _bearer(request)) is not None:
            return "bearer", (token,)
        if (ticket := request.query.get("ticket")) is not None:
            return "ticket", (ticket,)
        if self._herald is not None and self._herald.speaks(request):
            return "header", ()
        if self._office is not None and self._office.speaks(request):
            return "oa", ()
        if cookies := cookie_values(request, self._cookie_name):
            return "cookie", cookies
        return None, ()

    def goes_along(self, request: Asking) -> bool:
        """Whether the credential that decides goes along by itself, whoever's page asks."""
        return self.credential(request) in ("cookie", "header", "oa")

    async def identify(self, request: Asking, *, tickets: bool = True) -> Identity:
        """Prove who asks. A ticket is spent by this, whatever follows.

        Without ``tickets`` a ticket is refused: it must not be exchanged for a fresh one.

        Raises:
            Refused: there is no credential, or the one that decides is not valid.
        """
        credential, values = self._found(request)
        match credential:
            case "bearer":
                return await self._verified(values[0])
            case "ticket":
                if not tickets:
                    raise _unproved("ticket", "a ticket opens one connection and nothing else; use bearer or cookie")
                return await self._spend(values[0])
            case "header":
                assert self._herald is not None
                return self._herald.identify(request)
            case "oa":
                assert self._office is not None
                return await self._office.identify(request)
            case "cookie":
                return await self._of_cookies(values)
            case None:
                raise self._missing()

    async def sessions(self, request: Asking) -> list[str]:
        """The sessions that a request may end: of a valid signature, even if the token expired; of others none.

        Raises:
            Refused: there is no valid signature; a ticket has none.
        """
        credential, tokens = self._found(request)
        if credential == "ticket":
            raise _unproved("ticket", "a ticket ends no session; use bearer or cookie")
        if credential in ("header", "oa"):
            return []
        if not tokens:
            raise self._missing()
        found: dict[str, None] = {}
        refusals = []
        for token in tokens:
            try:
                claims = await self._verifier.prove(token)
                self._verifier.rules.enforce_recipient(claims)
            except Refused as refused:
                refusals.append(refused)
            else:
                found[session_of(claims, token)] = None
        if not found:
            raise _mildest(refusals)
        return list(found)

    async def require_scope(self, request: Asking, scope: str) -> None:
        """Check that a program's bearer token has ``scope``; it need not name a mailbox.

        Raises:
            Refused: it does not.
        """
        token = _bearer(request)
        if token is None:
            raise _unproved("missing", "this is for programs: Authorization: Bearer")
        if scope not in _scope((await self._verifier.verify(token)).get("scope")):
            raise Refused(403, codes.NOT_ALLOWED, "scope", f"the token does not carry the scope {scope!r}")

    async def _of_cookies(self, tokens: Sequence[str]) -> Identity:
        """The identity that the cookies prove, by the one that lasts longest; invalid cookies are ignored.

        Raises:
            Refused: none is valid, or two name different mailboxes, because another host of the domain may have set
            one.
        """
        found: list[Identity] = []
        refusals = []
        for token in tokens:
            try:
                found.append(await self._verified(token))
            except Refused as refused:
                refusals.append(refused)
        if not found:
            raise _mildest(refusals)
        if len({identity.mailboxes[0] for identity in found}) > 1:
            name = self._cookie_name
            raise _unproved(
                "two", f"{len(found)} cookies {name} name different mailboxes; a __Host- name prevents that"
            )
        return max(found, key=lambda identity: identity.expires)

    async def _verified(self, token: str) -> Identity:
        claims, signer = await self._verifier.vouch(token)
        return read_identity(claims, claim=self._claim, session=session_of(claims, token), signer=signer)

    def _missing(self) -> Refused:
        ways = f"neither Authorization: Bearer, nor ?ticket=, nor {self._cookie_name}"
        return _unproved("missing", f"no credential: {ways}")

    def choose(self, identity: Identity, wanted: str | None) -> str:
        """Return the mailbox that ``?mailbox=`` names; without it the identity's first one.

        Raises:
            Refused: the credential does not name that mailbox.
        """
        if wanted is None:
            return identity.mailboxes[0]
        if wanted == "*":
            raise _not_named("?mailbox=* (all on one connection) is for /ws and /events")
        address = normalise_address(wanted)
        if address not in identity.mailboxes:
            raise _not_named(f"the credential does not name mailbox {quoted(wanted)}")
        return address

    def ticket_life_s(self, identity: Identity) -> int:
        """For how many seconds a ticket made now can be used."""
        return max(1, min(TICKET_S, int(identity.ticket_ends - self._now())))

    async def make_ticket(self, identity: Identity) -> str:
        """Return a one-time credential for ``identity``; it may be part of a URL."""
        claims = {
            "mailboxes": identity.mailboxes,
            "sid": identity.sid,
            "scope": sorted(identity.scope),
            "expires": identity.ticket_ends,
            "session": identity.session,
            "issued": identity.issued,
            "signer": identity.signer,
        }
        return await self._tickets.put_ticket(to_json(claims), life_s=self.ticket_life_s(identity))

    async def _spend(self, ticket: str) -> Identity:
        kept = await self._tickets.take_ticket(ticket)
        if kept is None:
            raise _unproved("ticket", "the ticket is unknown, used or too old; a ticket opens one connection")
        claims = from_json(kept)
        identity = Identity(
            tuple(claims["mailboxes"]),
            claims["sid"],
            frozenset(claims["scope"]) or _NO_SCOPE,
            float(claims["expires"]),
            # An edge of an earlier release wrote none of these.
            claims.get("session") or claims["sid"] or "",
            claims.get("issued"),
            signer=claims.get("signer", ""),
        )
        if not self._verifier.believes(identity.signer):
            raise _unproved("ticket", "the secret that signed the token behind the ticket is gone")
        if identity.expires <= (now := self._now()):
            ago = f"{now - identity.expires:.0f} s ago"
            raise Refused(401, codes.EXPIRED, "expired", f"the token behind the ticket expired {ago}")
        return identity


def session_of(claims: Mapping[str, Any], token: str) -> str:
    """The session of a proved token, as kicks identify it: its ``sid``, otherwise the SHA-256 of what was signed.

    The hash does not cover the whole token, because a signature can be written in several ways.
    """
    sid = claims.get("sid")
    return sid if isinstance(sid, str) and sid else hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()


def read_identity(claims: Mapping[str, Any], *, claim: str, session: str = "", signer: str = "") -> Identity:
    """Read the identity from proved claims; ``claim`` is the name of the one with the mailbox.

    Raises:
        Refused: a claim is missing or is not what it should be.
    """
    named = claims.get(claim)
    if named is None:
        raise _unproved("claim", f"claim {quoted(claim)} is missing; it must name the mailbox")
    further = claims.get("mailboxes")
    if further is None:
        further = []
    elif not isinstance(further, list) or len(further) > _MOST_FURTHER:
        raise _unproved("claim", f"claim 'mailboxes' must be a list of at most {_MOST_FURTHER} addresses")
    sid = claims.get("sid")
    if sid is not None and not isinstance(sid, str):
        raise _unproved("claim", f"claim 'sid' must be text, not {quoted(sid)}")
    mailboxes = [_address(claim, named), *(_address("mailboxes", each) for each in further)]
    return Identity(
        tuple(dict.fromkeys(mailboxes)),
        sid,
        _scope(claims.get("scope")),
        float(claims["exp"]) + LEEWAY_S,
        session,
        issued_of(claims),
        signer=signer,
    )


def _address(claim: str, value: object) -> str:
    return address_of(f"claim {quoted(claim)}", value)


def address_of(where: str, value: object) -> str:
    """A mail address, normalised.

    Raises:
        Refused: what stands there is none.
    """
    address = normalise_address(value) if isinstance(value, str) else None
    # Letters that only look like ASCII would name somebody else than people read.
    if address is None or not address.isascii():
        raise _unproved("claim", f"{where} holds {quoted(value)}, which is no mail address")
    return address


def _scope(value: object) -> frozenset[str]:
    if value is None:
        return _NO_SCOPE
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return frozenset(value)
    raise _unproved("claim", f"claim 'scope' must be words between blanks or a list of them, not {quoted(value)}")


def _bearer(request: Asking) -> str | None:
    """The token of ``Authorization: Bearer``; ``None`` without such a header."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _mildest(refusals: Sequence[Refused]) -> Refused:
    """The refusal, of several, after which coming back is most useful."""
    return next((refused for refused in refusals if codes.may_return(refused.code)), refusals[0])


def _unproved(label: Literal["missing", "ticket", "claim", "two"], message: str) -> Refused:
    # A wrong claim has to be corrected where tokens are signed; for the other faults a new credential helps.
    return Refused(401, codes.INVALID_TOKEN if label == "claim" else codes.NO_CREDENTIAL, label, message)


def _not_named(message: str) -> Refused:
    return Refused(403, codes.NOT_ALLOWED, "mailbox", message)
