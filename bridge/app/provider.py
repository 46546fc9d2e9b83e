"""The provider's client as the settings describe it: one way out, one token for all processes.

Worker, sign-on and the ``api`` command build theirs here, so that none of them bypasses the proxy or fetches a token
that invalidates another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from redis.asyncio import Redis

from bridge.app.egress import open_session
from bridge.app.parts import redis_address
from bridge.journal.corporation import Corporation, NotOurs, mark_of
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.journal.tokens import RedisTokenStore
from bridge.obs.labels import endpoint_of, refused_of
from bridge.obs.metrics import Metrics
from bridge.provider.bizmail.calls import Outcome
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.token import Token, TokenStore
from bridge.settings import Settings, calling
from bridge.supervision import StartRefused

_REDIS_S: Final = 2.0


def build_client(
    settings: Settings,
    session: aiohttp.ClientSession,
    *,
    tokens: TokenStore | None = None,
    on_call: Callable[[str, Outcome, float, str], None] | None = None,
) -> ProviderClient:
    """Build a client that uses ``session``; without ``tokens`` it keeps a token of its own."""
    return ProviderClient(
        api_url=settings.provider.api_url,
        auth_url=settings.provider.auth_url,
        client_id=settings.provider.client_id,
        client_secret=settings.provider.client_secret,
        session=session,
        tokens=tokens,
        on_call=on_call,
    )


def urls_of(settings: Settings) -> tuple[str, ...]:
    """The URLs that a client of the provider calls."""
    return tuple(url for _, url in calling(settings, "api"))


def corporation_of(settings: Settings) -> str:
    """The mark of the corporation that the settings describe."""
    return mark_of("bizmail", settings.provider.client_id)


async def accept_corporation(redis: Redis, keys: Keys, mark: str) -> None:
    """Make sure that the namespace is ours, as far as Redis answers and lets us look.

    Raises:
        StartRefused: it belongs to another corporation.
    """
    try:
        async with asyncio.timeout(_REDIS_S):
            await Corporation(redis, keys).check(mark)
    except NotOurs as error:
        raise StartRefused(str(error)) from None
    except (JournalError, TimeoutError):
        return


class _Watched:
    """A store of tokens that shows until when the one is used that it last gave or was given."""

    def __init__(self, store: TokenStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self.drop = store.drop
        self.lock = store.lock

    async def get(self) -> Token | None:
        token = await self._store.get()
        if token is not None:
            self._metrics.token_expires.set(token.expires_at)
        return token

    async def put(self, token: Token) -> None:
        self._metrics.token_expires.set(token.expires_at)
        await self._store.put(token)


@asynccontextmanager
async def running_client(settings: Settings, redis: Redis, metrics: Metrics) -> AsyncIterator[ProviderClient]:
    """A client with the token of all processes and its calls counted; its connections end with the block."""

    def observe(name: str, outcome: Outcome, seconds: float, errcode: str) -> None:
        endpoint = endpoint_of(name)
        if errcode:
            metrics.provider_refusals[refused_of(errcode)].inc()
        metrics.provider_calls[endpoint, outcome].inc()
        metrics.provider_call_seconds[endpoint].observe(seconds)

    async with open_session(settings, *urls_of(settings)) as session:
        mark = corporation_of(settings)
        tokens = _Watched(RedisTokenStore(redis, Keys(settings.namespace), Token, corporation=mark), metrics)
        yield build_client(settings, session, tokens=tokens, on_call=observe)


@asynccontextmanager
async def visiting_client(
    settings: Settings,
    *,
    alone: Callable[[str], None],
    on_call: Callable[[str, Outcome, float, str], None] | None = None,
) -> AsyncIterator[ProviderClient]:
    """A client for one command, with the shared token if Redis can be reached, otherwise with one of its own.

    ``alone`` is called with the reason before a token is fetched that may invalidate the shared one. ``on_call`` is
    called for each request.
    """
    redis = redis_address(settings).client()
    keys, mark = Keys(settings.namespace), corporation_of(settings)
    shared = RedisTokenStore(redis, keys, Token, corporation=mark)
    try:
        try:
            async with asyncio.timeout(_REDIS_S):
                await shared.get()
            await accept_corporation(redis, keys, mark)
            tokens: TokenStore | None = shared
        except (JournalError, ConnectionError, TimeoutError) as error:
            alone(str(error) or "no answer in time")
            tokens = None
        async with open_session(settings, *urls_of(settings)) as session:
            yield build_client(settings, session, tokens=tokens, on_call=on_call)
    finally:
        await redis.aclose()
