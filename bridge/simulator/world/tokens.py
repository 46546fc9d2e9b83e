"""Access tokens: who gets one, and which of them still open doors (protocol 2.3).

Whether a new token kills the one before is not documented, so it is a rule that can be switched.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from random import Random
from string import ascii_letters, digits

_ALPHABET = ascii_letters + digits + "-_"


class TokenDesk:
    """Issues tokens against the client's credentials and knows which of them are good now."""

    __slots__ = ("_expiry_s", "_now", "_random", "client_id", "client_secret", "expires_in_s", "kills_old")

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        random: Random,
        now: Callable[[], float],
        expires_in_s: int = 86400,
        kills_old: bool = True,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.expires_in_s = expires_in_s
        self.kills_old = kills_old
        self._random = random
        self._now = now
        self._expiry_s: dict[str, float] = {}

    def knows(self, client_id: str, client_secret: str) -> bool:
        """Whether these are the credentials of the corporation."""
        return hmac.compare_digest(client_id.encode(), self.client_id.encode()) and hmac.compare_digest(
            client_secret.encode(), self.client_secret.encode()
        )

    def issue(self) -> str:
        """A new token; with ``kills_old`` the only good one from now on."""
        if self.kills_old:
            self._expiry_s.clear()
        token = "".join(self._random.choices(_ALPHABET, k=86))
        self._expiry_s[token] = self._now() + self.expires_in_s
        return token

    def accepts(self, token: str) -> bool:
        """Whether the token was issued, has not expired and was not killed."""
        return self._expiry_s.get(token, 0.0) > self._now()

    def expire(self) -> None:
        """Every token ends now."""
        self._expiry_s.clear()

    @property
    def good(self) -> tuple[str, ...]:
        """The tokens that are accepted now, oldest first."""
        return tuple(token for token in self._expiry_s if self.accepts(token))
