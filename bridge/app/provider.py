"""The provider's client as the settings describe it: one way out, one token for all processes.

Worker, sign-on and the ``api`` command build theirs here, so that none of them goes round the proxy or fetches a
token that kills another's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from redis.asyncio import Redis

from bridge.app.parts import redis_address
from bridge.journal.corporation import Corporation, NotOurs, mark_of
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.journal.tokens import RedisTokenStore
from bridge.obs.labels import endpoint_of
from bridge.obs.metrics import Metrics
from bridge.provider.calls import Outcome
from bridge.provider.client import ProviderClient
from bridge.provider.egress import Egress
from bridge.provider.token import Token, TokenStore
from bridge.settings import Settings, SettingsFileError
from bridge.supervision import StartRefused

_REDIS_S: Final = 2.0


def build_egress(settings: Settings) -> Egress:
    """The way out that the settings describe.

    Raises:
        SettingsFileError: the file of certificates is no longer what it was when the settings were read.
    """
    provider = settings.provider
    try:
        return Egress(
            proxy=provider.proxy() if provider.proxy else "", no_proxy=provider.no_proxy, ca_file=provider.ca_file
        )
    except (OSError, ssl.SSLError) as error:
        raise SettingsFileError([f"BRIDGE_PROVIDER_CA_FILE: {error}"]) from error


def open_session(settings: Settings) -> aiohttp.ClientSession:
    """A session that goes out as the settings describe; the caller's to close.

    Raises:
        SettingsFileError: as :func:`build_egress`.
    """
    return build_egress(settings).session()


def build_client(
    settings: Settings,
    session: aiohttp.ClientSession,
    *,
    tokens: TokenStore | None = None,
    on_call: Callable[[str, Outcome, float], None] | None = None,
) -> ProviderClient:
    """Build a client that goes out by ``session``; without ``tokens`` it keeps a token of its own."""
    return ProviderClient(
        api_url=settings.provider.api_url,
        auth_url=settings.provider.auth_url,
        client_id=settings.provider.client_id,
        client_secret=settings.provider.client_secret,
        session=session,
        tokens=tokens,
        on_call=on_call,
    )


def corporation_of(settings: Settings) -> str:
    """Whose namespace the settings mean it to be."""
    return mark_of("bizmail", settings.provider.client_id)


async def accept_corporation(redis: Redis, keys: Keys, mark: str) -> None:
    """Make sure that the namespace is ours, as far as Redis answers: whoever may not look does not.

    Raises:
        StartRefused: it is another corporation's.
    """
    try:
        async with asyncio.timeout(_REDIS_S):
            await Corporation(redis, keys).check(mark)
    except NotOurs as error:
        raise StartRefused(str(error)) from None
    except (JournalError, TimeoutError):
        return


@asynccontextmanager
async def running_client(settings: Settings, redis: Redis, metrics: Metrics) -> AsyncIterator[ProviderClient]:
    """A client with the token of all processes and its calls counted; its connections end with the block."""

    def observe(name: str, outcome: Outcome, seconds: float) -> None:
        endpoint = endpoint_of(name)
        metrics.provider_calls[endpoint, outcome].inc()
        metrics.provider_call_seconds[endpoint].observe(seconds)

    async with open_session(settings) as session:
        tokens = RedisTokenStore(redis, Keys(settings.namespace), Token, corporation=corporation_of(settings))
        yield build_client(settings, session, tokens=tokens, on_call=observe)


@asynccontextmanager
async def visiting_client(
    settings: Settings, *, alone: Callable[[str], None], on_call: Callable[[str, Outcome, float], None] | None = None
) -> AsyncIterator[ProviderClient]:
    """A client for one command: with the token of all processes if Redis can be reached, else with one of its own.

    ``alone`` is told why, before a token is fetched that may end everybody else's; ``on_call`` hears of each request.
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
        async with open_session(settings) as session:
            yield build_client(settings, session, tokens=tokens, on_call=on_call)
    finally:
        await redis.aclose()
