"""An edge between a real Valkey and real sockets, for both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.journal.writer import Writer
from tests.support.browser_side import OPENERS
from tests.support.stage import BOB, QUICK, bearer, leading_writer, publishing, running_edge
from tests.support.timed_hub import Rig

PATHS = {"websocket": "/ws", "sse": "/events"}


@pytest.fixture(params=["websocket", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["off", "instead"])
def by_each_channel(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test is played twice: mails come by plain channels, and by those of a cluster's node."""
    with publishing(request.param):
        yield


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[tuple[str, Writer, Redis]]:
    """An edge's URL, a writer that leads, and Redis."""
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url, QUICK) as (url, _):
        yield url, writer, redis


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A hub without an edge around it, whose time the test moves."""
    rig = Rig()
    yield rig
    rig.hub.end_all(3001)
    for peer in rig.peers:
        peer.close()


async def connect(url: str, transport: str, query: str = "", mailbox: str = BOB, **headers: str) -> Any:
    return await OPENERS[transport](url, PATHS[transport] + query, **(bearer(mailbox) | headers))


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["data"]["mail_id"] for event in events]
