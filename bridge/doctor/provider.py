"""The provider: whether it takes our credentials now, whatever token is cached; which of its APIs they belong to."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bridge.app.credentials import is_successors, prove_credentials
from bridge.app.parts import redis_address
from bridge.app.provider import corporation_of
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import SUCCESSOR_URL, Means
from bridge.journal.corporation import Corporation, NotOurs
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.provider.faults import (
    AddressNotAllowed,
    Busy,
    CredentialsRefused,
    InvalidToken,
    ProviderAway,
    ProviderError,
)
from bridge.settings import Settings

_CORPID: Final = re.compile(r"w[mw][0-9a-f]{16}", re.ASCII)
_THEIRS: Final = "exmail.qq.com"
_KINDS: Final[tuple[tuple[type[ProviderError], str], ...]] = (
    (AddressNotAllowed, "provider-address"),
    (Busy, "provider-busy"),
    (InvalidToken, "provider-token"),
    (ProviderAway, "provider-away"),
)


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    settings = means.of("worker", "signon")
    if not (settings.provider.client_id and settings.provider.client_secret):
        raise NotJudged("no-secret", program="worker", setting="BRIDGE_PROVIDER_CLIENT_SECRET")
    redis = redis_address(settings).client(timeout_s=5.0)
    try:
        try:
            await Corporation(redis, Keys(settings.namespace)).check(corporation_of(settings))
            await prove_credentials(settings, redis)
        except NotOurs as error:
            yield found("namespace-of-another", error=error)
        except CredentialsRefused as error:
            yield await _of_which(means, settings, error)
        except ProviderError as error:
            code = next((code for kind, code in _KINDS if isinstance(error, kind)), "provider-odd")
            yield found(code, error=error)
        except (JournalError, ConnectionError) as error:
            # Without the lock of all processes a new token could end the one that the worker uses.
            raise NotJudged("needs-redis", error=error) from error
    finally:
        await redis.aclose()


async def _of_which(means: Means, settings: Settings, error: CredentialsRefused) -> Said:
    """What refused credentials are: perhaps those of the newer API. Nobody but the provider is sent them."""
    asks_the_provider = urlsplit(settings.provider.auth_url).hostname == _THEIRS
    if asks_the_provider or means.successor_url != SUCCESSOR_URL:
        try:
            if await is_successors(settings, means.successor_url):
                return found("provider-successor", id=settings.provider.client_id)
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
    if _CORPID.fullmatch(settings.provider.client_id):
        return found("provider-successor", id=settings.provider.client_id)
    return found("provider-refuses", error=error)


CHECK: Final = Check("provider", _ask, within_s=30.0)
