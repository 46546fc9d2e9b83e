"""Auth keys (protocol 3.1.1): each opens one mailbox, once, within some minutes.

How long a key lives and whether it opens twice is not documented; the successor's keys live 300 s and open once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

_KEPT = 10_000


class KeyVerdict(StrEnum):
    """What became of a key that somebody showed."""

    OPENS = "opens"
    UNKNOWN = "unknown-key"
    WRONG_USER = "wrong-user"
    USED = "used"
    EXPIRED = "expired"


@dataclass(slots=True, eq=False)
class AuthKey:
    """One key; ``expires_s`` is epoch seconds."""

    text: str = field(repr=False)
    user: str
    expires_s: float
    used: bool = False


class AuthKeys:
    """The newest keys, and who may come in with them."""

    __slots__ = ("_keys", "_now", "_random")

    def __init__(self, *, random: Random, now: Callable[[], float]) -> None:
        self._random = random
        self._now = now
        self._keys: dict[str, AuthKey] = {}

    @property
    def all(self) -> tuple[AuthKey, ...]:
        """The remembered keys, oldest first."""
        return tuple(self._keys.values())

    def issue(self, user: str, *, life_s: float) -> str:
        """A new key for a mailbox; older ones stay good."""
        text = f"{self._random.getrandbits(448):0112X}"
        self._keys[text] = AuthKey(text, user, self._now() + life_s)
        if len(self._keys) > _KEPT:
            del self._keys[next(iter(self._keys))]
        return text

    def redeem(self, user: str, text: str) -> KeyVerdict:
        """Somebody shows a key for a mailbox. Only the verdict ``OPENS`` uses it up."""
        key = self._keys.get(text)
        if key is None:
            return KeyVerdict.UNKNOWN
        if key.user != user:
            return KeyVerdict.WRONG_USER
        if key.used:
            return KeyVerdict.USED
        if key.expires_s <= self._now():
            return KeyVerdict.EXPIRED
        key.used = True
        return KeyVerdict.OPENS
