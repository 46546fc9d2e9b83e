"""The access token: fetched once, shared, renewed once when it is refused (protocol 2.3).

A new token may kill the old one, so all processes of one client id use one token: it lives in a
:class:`TokenStore`, and whoever needs a new one fetches it alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

MARGIN_SHARE: Final = 0.1
MARGIN_S: Final = 300.0


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

    A store that cannot be reached raises the built-in ``ConnectionError`` (translate the driver's own error);
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
    """A store for one process."""

    def __init__(self) -> None:
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> Token | None:
        return self._token

    async def put(self, token: Token) -> None:
        self._token = token

    async def drop(self, token_value: str) -> None:
        if self._token is not None and self._token.value == token_value:
            self._token = None

    def lock(self) -> AbstractAsyncContextManager[None]:
        return self._lock


class TokenSource:
    """Gives the token to use now. Single flight: whatever the number of callers, one fetch at a time.

    Callers that waited for a fetch share its outcome, its failure too: a provider that is away is not asked once
    for each of them.
    """

    def __init__(
        self, store: TokenStore, fetch: Callable[[], Awaitable[Token]], *, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._now = now
        self._current: Token | None = None
        self._alone = asyncio.Lock()
        self._attempts = 0
        self._failure: Exception | None = None

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

    async def _other_than(self, refused: str | None) -> Token:
        if (token := self._usable(self._current, refused)) is not None:
            return token
        seen = self._attempts
        async with self._alone:
            if (token := self._usable(self._current, refused)) is not None:
                return token
            if self._failure is not None and self._attempts != seen:
                raise self._failure
            self._failure = None
            try:
                token = await self._obtain(refused)
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._attempts += 1
            return token

    async def _obtain(self, refused: str | None) -> Token:
        try:
            return await self._through_store(refused)
        except ConnectionError:
            # The store is away, the provider perhaps not: better a token of our own, at the risk that it kills
            # another process's (which then renews), than a deaf listener.
            if (token := self._usable(self._current, refused)) is not None:
                return token
            self._current = await self._fetch()
            return self._current

    async def _through_store(self, refused: str | None) -> Token:
        async with self._store.lock():
            stored = self._usable(await self._store.get(), refused)
            # While the store was away we fetched our own; what it still has from before is no renewal.
            if stored is not None and (self._current is None or stored.expires_at >= self._current.expires_at):
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
        return token
