"""Whether client id and secret are right, asked of the provider itself and past the token that is cached.

A new token may end the one before (protocol 2.3 does not say), and the listening worker uses that one. So the new one
is fetched while all other processes are kept from fetching, the cached one is tried, and only if it was ended, or there
is none, is the new one put in its place: nobody is left with a dead token, and a live one stays.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from redis.asyncio import Redis

from bridge.app.egress import open_session
from bridge.app.provider import build_client, corporation_of, urls_of
from bridge.journal.keys import Keys
from bridge.journal.tokens import RedisTokenStore
from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.token import MemoryTokenStore, Token
from bridge.provider.bizmail.transport import Transport
from bridge.provider.faults import InvalidToken, ProviderError
from bridge.settings import Settings

_TIMEOUT_S: Final = 8.0
_ANSWER_MOST: Final = 65_536
_NOBODY: Final = "nobody@example.invalid"
"""An address that nobody can have: asking what it is reads nothing of anybody."""


async def prove_credentials(settings: Settings, redis: Redis) -> bool:
    """Fetch a token and make a call with it; return whether the cached token was left as it was.

    Raises:
        ProviderError: no token could be had, or it cannot be used.
        ConnectionError: Redis is away, and nothing was asked.
    """
    store = RedisTokenStore(redis, Keys(settings.namespace), Token, corporation=corporation_of(settings))
    async with open_session(settings, *urls_of(settings)) as session, _alone(store):
        fresh = await build_client(settings, session, tokens=MemoryTokenStore()).token(anew=True)
        transport = Transport(
            api_url=settings.provider.api_url,
            auth_url=settings.provider.auth_url,
            session=session,
            timeout_s=_TIMEOUT_S,
            wait_s=_TIMEOUT_S,
        )
        cached = await store.get()
        left = cached is not None and cached.expires_at > time.time() and await _accepted(transport, cached)
        if not left:
            await store.put(fresh)
        await _call(transport, fresh)
        return left


@asynccontextmanager
async def _alone(store: RedisTokenStore[Token]) -> AsyncIterator[None]:
    """Keep the others from fetching. The lock is given back at once also if no token could be had: ours is one try, and
    a leader that needs a token must not wait for it."""
    failed: ProviderError | None = None
    async with store.lock():
        try:
            yield
        except ProviderError as error:
            failed = error
    if failed is not None:
        raise failed


async def _accepted(transport: Transport, token: Token) -> bool:
    try:
        await _call(transport, token)
    except InvalidToken:
        return False
    return True


async def _call(transport: Transport, token: Token) -> None:
    await transport.call(endpoints.USER_CHECK, [("email", _NOBODY)], token=token.value)


async def is_successors(settings: Settings, url: str) -> bool:
    """Whether the credentials are those of the provider's newer API, which answers at ``url`` (successor 2).

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: it cannot be asked.
    """
    asked = {"corpid": settings.provider.client_id, "corpsecret": settings.provider.client_secret()}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        open_session(settings, url) as session,
        session.get(f"{url}/gettoken", params=asked, timeout=timeout, allow_redirects=False) as answer,
    ):
        # The URL has the secret in it, and errors of aiohttp may name the URL: none is passed on in words.
        found = bytearray()
        async for piece in answer.content.iter_any():
            found += piece
            if len(found) > _ANSWER_MOST:
                break
    return b'"access_token"' in found
