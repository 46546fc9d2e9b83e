"""Who asks: from the first credential of a request to one :class:`Identity`.

A chain: bearer token, ticket, cookie. The first that is present decides and there is no falling through, because a
request that carries two identities must not be served as the one that happened to work. Nothing behind this file
knows how an identity was proved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from aiohttp import hdrs, web

from bridge.edge import codes
from bridge.edge.refused import Refused, quoted
from bridge.events import from_json, normalise_address, to_json

__all__ = ["Access", "Credential", "Identity", "Refused", "Tickets", "Verifier", "read_identity"]

Credential = Literal["bearer", "ticket", "cookie"]

_MOST_FURTHER: Final = 20


@dataclass(frozen=True, slots=True)
class Identity:
    """What a credential proves: which mailboxes it opens, and until when.

    ``mailboxes`` are normalised addresses, the first is the default. ``sid`` is the OA's session. ``expires`` is epoch
    seconds, without leeway: a connection ends when its token does.
    """

    mailboxes: tuple[str, ...]
    sid: str | None
    scope: frozenset[str]
    expires: float


class Verifier(Protocol):
    """Proves tokens: by shared secret, or by published keys."""

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that may be believed now; raise :class:`Refused` for any other."""
        ...


class Tickets(Protocol):
    """Keeps what a ticket opens, for one use within seconds; every process sees the same."""

    async def put_ticket(self, claims: bytes) -> str: ...

    async def take_ticket(self, ticket: str) -> bytes | None: ...


class Access:
    """Says who asks. A ticket store that is away is not caught here: the caller knows what its protocol says then."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        tickets: Tickets,
        cookie_name: str,
        claim: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._tickets = tickets
        self._cookie_name = cookie_name
        self._claim = claim
        self._now = now

    def credential(self, request: web.Request) -> Credential | None:
        """Say which credential decides, without looking whether it is any good."""
        # Another scheme is not ours: a proxy's Basic password goes along with every request of the page.
        if _bearer(request) is not None:
            return "bearer"
        if "ticket" in request.query:
            return "ticket"
        if self._cookie_name in request.cookies:
            return "cookie"
        return None

    async def identify(self, request: web.Request, *, tickets: bool = True) -> Identity:
        """Prove who asks. A ticket is spent by this, whatever follows.

        Without ``tickets`` a ticket is refused: it must not be exchanged for a fresh one.

        Raises:
            Refused: no credential, or the one that decides proves nothing.
        """
        match self.credential(request):
            case "bearer":
                token = _bearer(request) or ""
            case "ticket":
                if not tickets:
                    raise _unproved("ticket", "a ticket opens one connection and nothing else; use bearer or cookie")
                return await self._spend(request.query["ticket"])
            case "cookie":
                token = request.cookies[self._cookie_name]
            case None:
                raise _unproved(
                    "missing", f"no credential: neither Authorization: Bearer, nor ?ticket=, nor {self._cookie_name}"
                )
        return read_identity(await self._verifier.verify(token), claim=self._claim)

    def choose(self, identity: Identity, wanted: str | None) -> str:
        """Return the mailbox that ``?mailbox=`` means; without it the identity's first.

        Raises:
            Refused: the credential does not name that mailbox.
        """
        if wanted is None:
            return identity.mailboxes[0]
        if wanted == "*":
            raise _not_named("?mailbox=* (all on one connection) is not served yet; open one connection a mailbox")
        address = normalise_address(wanted)
        if address not in identity.mailboxes:
            raise _not_named(f"the credential does not name mailbox {quoted(wanted)}")
        return address

    async def make_ticket(self, identity: Identity) -> str:
        """Return a one-time credential for ``identity``; it may stand in a URL."""
        return await self._tickets.put_ticket(
            to_json(
                {
                    "mailboxes": identity.mailboxes,
                    "sid": identity.sid,
                    "scope": sorted(identity.scope),
                    "expires": identity.expires,
                }
            )
        )

    async def _spend(self, ticket: str) -> Identity:
        kept = await self._tickets.take_ticket(ticket)
        if kept is None:
            raise _unproved("ticket", "the ticket is unknown, used or too old; a ticket opens one connection")
        claims = from_json(kept)
        identity = Identity(
            tuple(claims["mailboxes"]), claims["sid"], frozenset(claims["scope"]), float(claims["expires"])
        )
        if identity.expires <= (now := self._now()):
            ago = f"{now - identity.expires:.0f} s ago"
            raise Refused(401, codes.EXPIRED, "expired", f"the token behind the ticket expired {ago}")
        return identity


def read_identity(claims: Mapping[str, Any], *, claim: str) -> Identity:
    """Read the identity out of claims that are proved; ``claim`` names the one that holds the mailbox.

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
    return Identity(tuple(dict.fromkeys(mailboxes)), sid, _scope(claims.get("scope")), float(claims["exp"]))


def _address(claim: str, value: object) -> str:
    address = normalise_address(value) if isinstance(value, str) else None
    if address is None:
        raise _unproved("claim", f"claim {quoted(claim)} holds {quoted(value)}, which is no mail address")
    return address


def _scope(value: object) -> frozenset[str]:
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return frozenset(value)
    raise _unproved("claim", f"claim 'scope' must be words between blanks or a list of them, not {quoted(value)}")


def _bearer(request: web.Request) -> str | None:
    """The token of ``Authorization: Bearer``; ``None`` when there is no such header."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _unproved(label: Literal["missing", "ticket", "claim"], message: str) -> Refused:
    return Refused(401, codes.INVALID_TOKEN, label, message)


def _not_named(message: str) -> Refused:
    return Refused(403, codes.NOT_ALLOWED, "mailbox", message)
