"""The provider's access token, shared by all processes of a namespace.

A new token may invalidate the old one, so only one process at a time fetches one. :class:`RedisTokenStore` has the
methods of the provider room's ``TokenStore`` without importing it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Protocol, TypeVar

from redis.asyncio import Redis

from bridge.events import from_json, to_json
from bridge.journal.client import typed
from bridge.journal.errors import JournalError, translated
from bridge.journal.keys import Keys
from bridge.journal.script import Script

_LOCK_MS = 3_000
_HOLD_S = 1.0
_LOOK_S = 0.1


class SharedToken(Protocol):
    """A token as the provider room knows it: ``expires_at`` in epoch seconds."""

    @property
    def value(self) -> str: ...
    @property
    def expires_at(self) -> float: ...


T = TypeVar("T", bound=SharedToken)


class RedisTokenStore(Generic[T]):
    """Keeps the token in ``{ns}:private:token``. ``make(value, expires_at)`` builds the provider room's type.

    ``corporation`` is stored with the token (see ``corporation.py``); another corporation's token is ignored.
    """

    def __init__(self, redis: Redis, keys: Keys, make: Callable[[str, float], T], *, corporation: str) -> None:
        self._redis = typed(redis)
        self._script = Script(redis)
        self._keys = keys
        self._make = make
        self._corporation = corporation

    async def get(self) -> T | None:
        """The stored token, if any."""
        with _unreachable():
            stored = await self._redis.get(self._keys.token)
        if stored is None:
            return None
        try:
            fields = from_json(stored)
            # A token that an older release stored has no mark.
            if fields.get("of", self._corporation) != self._corporation:
                return None
            return self._make(str(fields["value"]), float(fields["expires_at"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # not written by us

    async def put(self, token: T) -> None:
        """Replace the token; it expires by itself."""
        left_ms = max(1, int((token.expires_at - time.time()) * 1000))
        fields = to_json({"value": token.value, "expires_at": token.expires_at, "of": self._corporation})
        with _unreachable():
            await self._redis.set(self._keys.token, fields, px=left_ms)

    async def drop(self, token_value: str) -> None:
        """Delete the token if it still is this one. Only the holder of :meth:`lock` calls this."""
        stored = await self.get()
        if stored is not None and stored.value == token_value:
            with _unreachable():
                await self._redis.delete(self._keys.token)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Exclude the other processes for the length of the block; a holder that died blocks them for 3 s at most."""
        mine = secrets.token_hex(8)
        while True:
            with _unreachable():
                if await self._redis.set(self._keys.token_lock, mine, px=_LOCK_MS, nx=True):
                    break
            await asyncio.sleep(_LOOK_S)
        holding = asyncio.create_task(self._hold(mine), name="token lock")
        given_up = True
        try:
            yield
            given_up = False
        except asyncio.CancelledError:
            given_up = False
            raise
        finally:
            holding.cancel()
            # If no token could be fetched, the lock is left to expire, so that the others do not ask at once.
            if not given_up:
                with suppress(JournalError):
                    await self._script.run([((self._keys.token_lock,), ("release", mine))])

    async def _hold(self, mine: str) -> None:
        while True:
            await asyncio.sleep(_HOLD_S)
            with suppress(JournalError):
                await self._script.run([((self._keys.token_lock,), ("hold", mine, _LOCK_MS))])


@contextmanager
def _unreachable() -> Iterator[None]:
    """Raise faults of Redis as ``ConnectionError``: the provider room does not know the journal's errors."""
    try:
        with translated():
            yield
    except JournalError as error:
        raise ConnectionError(str(error)) from error
