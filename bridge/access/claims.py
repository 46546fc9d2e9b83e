"""What a token must claim to be believed now, however it is signed (RFC 7519, 4.1).

The checks are data: a request is refused by the first that fails, ``token --check`` shows all of them, and so the two
can never tell different stories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from bridge.access import codes
from bridge.access.refused import Label, Refused, quoted

LEEWAY_S: Final = 60
"""How far the clocks of issuer and edge may be apart. Every expiry, of admission, connection and ticket, is ``exp`` and
this: one that ended sooner would send a page away that is let in again at once."""

_MILLISECONDS_FROM: Final = 100_000_000_000
"""As seconds this is the year 5138, as milliseconds 1973: a stamp from here on was meant as milliseconds."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a token: which, whether it passed, and what was found."""

    label: Label
    passed: bool
    finding: str

    def enforce(self) -> None:
        """Return if the check passed.

        Raises:
            Refused: it did not. Who comes with an expired token may come back: there can be a fresh one by then.
        """
        if not self.passed:
            raise Refused(
                401,
                codes.EXPIRED if self.label == "expired" else codes.INVALID_TOKEN,
                self.label,
                self.finding,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is expected of every token. No ``audience`` or ``issuer``: not looked at. ``now`` gives epoch seconds."""

    audience: str | None
    issuer: str | None
    now: Callable[[], float]

    def enforce(self, claims: Mapping[str, Any]) -> None:
        """Return if the claims hold now.

        Raises:
            Refused: the first check that fails.
        """
        for check in self.checks(claims):
            check.enforce()

    def enforce_recipient(self, claims: Mapping[str, Any]) -> None:
        """Return if the claims are meant for us, expired or not: what is enough to end a session.

        Raises:
            Refused: the first check that fails.
        """
        for check in self._recipient(claims):
            check.enforce()

    def checks(self, claims: Mapping[str, Any]) -> Iterator[Check]:
        """Yield each check, in the order in which they are made."""
        now = self.now()
        yield _expiry(claims.get("exp"), now)
        if claims.get("nbf") is not None:
            yield _beginning(claims["nbf"], now)
        yield from self._recipient(claims)

    def _recipient(self, claims: Mapping[str, Any]) -> Iterator[Check]:
        if self.audience is not None:
            found = claims.get("aud")
            named = found if isinstance(found, list) else [found]
            yield Check("audience", self.audience in named, f"aud is {quoted(found)}, expected {quoted(self.audience)}")
        if self.issuer is not None:
            found = claims.get("iss")
            yield Check("issuer", found == self.issuer, f"iss is {quoted(found)}, expected {quoted(self.issuer)}")


def _expiry(expires: object, now: float) -> Check:
    if expires is None:
        return Check("claim", False, "claim 'exp' is missing; a token must end")
    if not _is_number(expires):
        return Check("claim", False, f"claim 'exp' must be a number of seconds, not {quoted(expires)}")
    if expires >= _MILLISECONDS_FROM:
        return Check("claim", False, f"claim 'exp' is {expires:.0f}: milliseconds; it must be seconds")
    left = expires - now
    if left > 0:
        return Check("expired", True, f"expires in {left:.0f} s")
    if left > -LEEWAY_S:
        return Check("expired", True, f"expired {-left:.0f} s ago, within the leeway of {LEEWAY_S} s")
    return Check("expired", False, f"expired {-left:.0f} s ago")


def _beginning(begins: object, now: float) -> Check:
    if not _is_number(begins):
        return Check("claim", False, f"claim 'nbf' must be a number of seconds, not {quoted(begins)}")
    wait = begins - now
    if wait > LEEWAY_S:
        return Check("premature", False, f"nbf: not valid for another {wait:.0f} s; compare the clocks")
    return Check("premature", True, "nbf: valid already" if wait <= 0 else f"nbf: valid in {wait:.0f} s, within leeway")


def issued_of(claims: Mapping[str, Any]) -> float | None:
    """When the token was made (``iat``), in epoch seconds; ``None`` where it does not say so, or not in seconds."""
    issued = claims.get("iat")
    return float(issued) if _is_number(issued) and 0 < issued < _MILLISECONDS_FROM else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
