"""The access token: fetched once, shared, renewed once when it is refused (protocol 2.3).

A new token may kill the old one, so all processes of one client id use one token: it lives in a
:class:`TokenStore`, and whoever needs a new one fetches it alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from ..faults import ProviderRefused, again

MARGIN_SHARE: Final = 0.1
MARGIN_S: Final = 300.0
LOCK_S: Final = 30.0
"""After which a lock of :class:`MemoryTokenStore` lapses: its holder's event loop has ended."""
_LOOK_S: Final = 0.01
REST_FIRST_S: Final = 1.0
REST_MOST_S: Final = 60.0
"""Seconds for which a provider that refused us is not asked for a token again: doubled each time, up to a minute."""
DISTRUST_MOST_S: Final = 10.0
"""The same if tokens are given and then refused, as happens if somebody else fetches them too."""
FORGET_S: Final = 300.0
"""A refusal that is older is no reason to wait longer than at first."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. ``expires_at`` (epoch seconds) is when *we* stop using it, a margin before it really ends."""

    value: str = field(repr=False)
    expires_at: float


def usable_until(*, fetched_at: float, life_s: float) -> float:
    """When to stop using a token that lives ``life_s`` seconds: a tenth of its life early, at most five minutes."""
    return fetched_at + life_s - min(life_s * MARGIN_SHARE, MARGIN_S)


class TokenStore(Protocol):
    """Where the one token of a client id lives.

    A store that cannot be used raises the built-in ``ConnectionError`` (translate the driver's own errors);
    :class:`TokenSource` then goes on by itself.
    """

    async def get(self) -> Token | None:
        """The stored token; ``None`` if there is none. One that is past its time may be returned or not."""

    async def put(self, token: Token) -> None:
        """Replace the stored token. May let it expire by itself at ``token.expires_at``."""

    async def drop(self, token_value: str) -> None:
        """Forget the stored token if its value is this one; leave any other alone."""

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Exclude all other processes of this client id while a token is fetched.

        Waits until it is free. A holder that died must not block for ever: let the lock lapse after some 30 s.
        """


class MemoryTokenStore:
    """A store for one process; its threads and event loops may share it, each with a client of its own."""

    def __init__(self, *, lock_s: float = LOCK_S) -> None:
        self._lock_s = lock_s
        self._token: Token | None = None
        self._guard = threading.Lock()
        self._holder: object = None
        self._lapses_at = 0.0

    async def get(self) -> Token | None:
        return self._token

    async def put(self, token: Token) -> None:
        self._token = token

    async def drop(self, token_value: str) -> None:
        with self._guard:
            if self._token is not None and self._token.value == token_value:
                self._token = None

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        # No lock of asyncio, which belongs to one loop, nor of threading, which would block the loop.
        mine = object()
        while True:
            if self._take(mine):
                break
            await asyncio.sleep(_LOOK_S)
        try:
            yield
        finally:
            with self._guard:
                if self._holder is mine:
                    self._holder = None

    def _take(self, mine: object) -> bool:
        with self._guard:
            now = time.monotonic()
            if self._holder is not None and now < self._lapses_at:
                return False
            self._holder, self._lapses_at = mine, now + self._lock_s
            return True


class TokenSource:
    """Gives the token to use now. Single flight: whatever the number of callers, one fetch at a time.

    Callers that waited for a fetch share its outcome, its failure too: a provider that is away is not asked once
    for each of them. One that refuses is left alone for a while by all of them, longer each time: whoever asks
    meanwhile gets the refusal that was, and no client id is locked because many kept asking.
    """

    def __init__(
        self,
        store: TokenStore,
        fetch: Callable[[], Awaitable[Token]],
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._now = now
        self._clock = clock
        self._current: Token | None = None
        self._alone = asyncio.Lock()
        self._attempts = 0
        self._failure: Exception | None = None
        self._distrusted = ""
        self._refused_at = float("-inf")
        self._rest_s = 0.0

    async def token(self) -> str:
        """The token to use now; fetched if there is none or its time is over.

        Raises:
            ProviderError: no token could be had.
        """
        return (await self.current()).value

    async def current(self) -> Token:
        """The same, with the time when we stop using it."""
        return await self._other_than(None)

    async def renew(self, refused: str) -> str:
        """A token other than the one that was refused: somebody's newer one if there is one, else a new one.

        Raises:
            ProviderError: no token could be had.
        """
        return (await self._other_than(refused)).value

    async def new(self) -> Token:
        """A token that is fetched now, whatever there is; the others find it in the store.

        Raises:
            ProviderError: no token could be had.
        """
        async with self._alone:
            return await self._fetched_alone(lambda: self._obtain(None, anew=True))

    def distrust(self, refused: str, error: ProviderRefused) -> None:
        """A token that had just been renewed is refused too: another one is no help, for a while."""
        self._distrusted = refused
        self._failure = error
        self._rest(DISTRUST_MOST_S)

    async def _other_than(self, refused: str | None) -> Token:
        if (token := self._usable(self._current, refused)) is not None:
            return token
        seen = self._attempts
        async with self._alone:
            if (token := self._usable(self._current, refused)) is not None:
                return token
            if self._failure is not None and (self._attempts != seen or self._rests()):
                raise again(self._failure)
            return await self._fetched_alone(lambda: self._obtain(refused))

    async def _fetched_alone(self, obtain: Callable[[], Awaitable[Token]]) -> Token:
        self._failure = None
        try:
            return await obtain()
        except Exception as error:
            self._failure = error
            if isinstance(error, ProviderRefused):
                self._rest(REST_MOST_S)
            raise
        finally:
            self._attempts += 1

    async def _obtain(self, refused: str | None, *, anew: bool = False) -> Token:
        try:
            return await self._through_store(refused, anew=anew)
        except ConnectionError:
            # The store is away, the provider perhaps not. A token of our own may end another process's, which then
            # renews; that is better than a deaf listener.
            if not anew and (token := self._usable(self._current, refused)) is not None:
                return token
            self._current = await self._fetch()
            return self._current

    async def _through_store(self, refused: str | None, *, anew: bool) -> Token:
        async with self._store.lock():
            stored = self._usable(await self._store.get(), refused)
            # While the store was away we fetched our own; what it still has from before is no renewal.
            newer = stored is not None and (self._current is None or stored.expires_at >= self._current.expires_at)
            if stored is not None and newer and not anew:
                self._current = stored
                return stored
            if refused is not None:
                await self._store.drop(refused)
            token = self._current = await self._fetch()
            await self._store.put(token)
            return token

    def _usable(self, token: Token | None, refused: str | None) -> Token | None:
        if token is None or token.value == refused or token.expires_at <= self._now():
            return None
        return None if token.value == self._distrusted and self._rests() else token

    def _rest(self, most_s: float) -> None:
        now = self._clock()
        lately = now - self._refused_at < FORGET_S
        self._rest_s = min(2 * self._rest_s, most_s) if lately else REST_FIRST_S
        self._refused_at = now

    def _rests(self) -> bool:
        return self._clock() < self._refused_at + self._rest_s
