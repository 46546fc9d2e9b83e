"""Checks of a token's claims, however it is signed (RFC 7519, 4.1).

The checks are data: a request is refused by the first that fails, and ``token --check`` shows all of them, so the two
cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeGuard

from bridge.access import codes
from bridge.access.refused import Label, Refused, quoted

LEEWAY_S: Final = 60
"""How far the clocks of issuer and edge may differ. Admission, connection and ticket all expire at ``exp`` plus this:
if a connection ended sooner, its page would be admitted again at once."""

_MILLISECONDS_FROM: Final = 100_000_000_000
"""As seconds this is the year 5138, as milliseconds 1973: a stamp from here on was meant as milliseconds."""


class Check(NamedTuple):
    """One check of a token: its name, whether it passed, and what was found."""

    label: Label
    passed: bool
    finding: str

    def enforce(self) -> None:
        """Return if the check passed.

        Raises:
            Refused: it did not. After an expired token the client may come back, as it can have a new one by then.
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
    """What every token must claim. Without ``audience`` or ``issuer`` these are not checked. ``now``: epoch seconds."""

    audience: str | None
    issuer: str | None
    now: Callable[[], float]

    def enforce(self, claims: Mapping[str, Any]) -> None:
        """Return if the claims are valid now.

        Raises:
            Refused: the first check that fails.
        """
        for check in self.checks(claims):
            check.enforce()

    def enforce_recipient(self, claims: Mapping[str, Any]) -> None:
        """Return if the claims are meant for us, even if they have expired; that suffices to end a session.

        Raises:
            Refused: the first check that fails.
        """
        for check in self._recipient(claims):
            check.enforce()

    def checks(self, claims: Mapping[str, Any]) -> Iterator[Check]:
        """Yield the checks in the order in which they are made."""
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
    """When the token was made (``iat``), in epoch seconds; ``None`` if it does not say so in seconds."""
    issued = claims.get("iat")
    return float(issued) if _is_number(issued) and 0 < issued < _MILLISECONDS_FROM else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return type(value) is int or type(value) is float
