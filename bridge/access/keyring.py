"""The shared secrets that tokens are signed with, prepared, named and exchanged while a program runs.

A name is made of the secret and opens nothing. Who was let in by a token notes the name of its secret, so that taking a
secret away also ends what it let in.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import jwt

log = logging.getLogger(__name__)

_LEAST_SECRET_BYTES: Final = 32
_REREAD_S: Final = 1.0


class Keyring:
    """``keys`` are the present secrets by their names, in the order of ``secrets``, which is called at once and to read
    them again.

    ``number`` counts how often they changed, ``changed`` is set then. ``clock``: monotonic seconds.

    Raises:
        ValueError: there is no secret, or one is too short, or is a public key, which everybody may know.
    """

    def __init__(self, secrets: Callable[[], Sequence[bytes]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._secrets = secrets
        self._clock = clock
        self._read_at = clock()
        self.keys = _prepared(secrets())
        self.number = 0
        self.changed = asyncio.Event()

    def believes(self, name: str) -> bool:
        """Whether what the secret of this name has signed still counts; ``""`` is no secret and never goes."""
        return not name or name in self.keys

    def reload(self) -> None:
        """Read the secrets again; those before stay if these cannot be used. What one that is gone signed is refused
        from now on."""
        self._read_at = self._clock()
        try:
            keys = _prepared(self._secrets())
        except ValueError as error:
            log.warning("secrets of tokens cannot be used, those before stay in use", extra={"error": str(error)})
            return
        if list(keys) == list(self.keys):
            return
        gone = len(self.keys.keys() - keys.keys())
        self.keys = keys
        self.number += 1
        self.changed.set()
        log.info("secrets of tokens taken", extra={"secrets": len(keys), "gone": gone})

    def reread(self) -> bool:
        """Read them again because of a token, at most once a second; return whether they changed."""
        if self._clock() - self._read_at < _REREAD_S:
            return False
        number = self.number
        self.reload()
        return self.number != number


def _prepared(secrets: Sequence[bytes]) -> Mapping[str, bytes]:
    if not secrets:
        raise ValueError("there is no secret")
    return {_name(key): key for key in (_key(secret, place) for place, secret in enumerate(secrets, start=1))}


def _key(secret: bytes, place: int) -> bytes:
    if len(secret) < _LEAST_SECRET_BYTES:
        raise ValueError(f"secret {place} has {len(secret)} bytes, fewer than {_LEAST_SECRET_BYTES}")
    try:
        key: bytes = jwt.get_algorithm_by_name("HS256").prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise ValueError(f"secret {place} will not do: {error}") from None
    return key


def _name(key: bytes) -> str:
    return hashlib.sha256(b"exmail-bridge secret of tokens\0" + key).hexdigest()[:16]
