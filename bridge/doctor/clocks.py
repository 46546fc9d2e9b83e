"""Three clocks that should agree: this machine's, Redis's, and the provider's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp

from bridge.app.egress import open_session
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import Means
from bridge.journal.clock import redis_now_us

_REDIS_OFF_S: Final = 5.0
_PROVIDER_OFF_S: Final = 30.0
"""A ``Date`` has whole seconds, and answers take their time. Tokens are given a minute."""


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    try:
        async with means.redis() as (redis, _):
            asked_at = means.wall()
            said = await redis_now_us(redis) / 1e6
            answered_at = means.wall()
        off_s = said - (asked_at + answered_at) / 2
        if abs(off_s) > _REDIS_OFF_S + (answered_at - asked_at):
            yield found("clock-redis", seconds=round(-off_s))
    except NotJudged as why:
        yield why
    settings = means.of("worker", "signon")
    url = settings.provider.auth_url
    try:
        async with (
            asyncio.timeout(5.0),
            open_session(settings, url) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            date = answer.headers.get("Date", "")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise NotJudged("provider-without-date", error=type(error).__name__) from None
    try:
        off_s = parsedate_to_datetime(date).timestamp() - means.wall()
    except ValueError:
        raise NotJudged("provider-without-date", error="no Date") from None
    if abs(off_s) > _PROVIDER_OFF_S:
        yield found("clock-provider", seconds=round(-off_s))


CHECK: Final = Check("clocks", _ask)
