"""``from bridge.provider import …``: a client in one line, and what it is told about."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

import bridge.provider
from bridge.provider import NotUsable, ProviderClient
from bridge.provider.bizmail.client import API_URL, AUTH_URL
from bridge.settings import load_settings
from bridge.simulator import Simulator
from tests.support.stage import BOB
from tests.support.workers import simulating


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating() as simulator:
        yield simulator


def a_client(simulator: Simulator, **options: aiohttp.ClientSession) -> ProviderClient:
    world = simulator.world
    return ProviderClient(
        client_id=world.client_id,
        client_secret=world.client_secret,
        api_url=simulator.url,
        auth_url=simulator.url,
        **options,
    )


async def test_a_client_brings_its_own_session(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened with the block and closed at its end; before and behind it nothing is sent."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = a_client(simulator)
    with pytest.raises(NotUsable, match="async with ProviderClient"):
        await client.newcount(BOB)
    async with client:
        assert await client.newcount(BOB) == simulator.world.unread[BOB]
    with pytest.raises(NotUsable, match="closed"):
        await client.newcount(BOB)


async def test_a_session_that_is_given_stays_open(simulator: Simulator) -> None:
    """It is the caller's; the block ends, and the session goes on."""
    async with aiohttp.ClientSession() as session:
        async with a_client(simulator, session=session) as client:
            await client.newcount(BOB)
        assert not session.closed
        assert await client.newcount(BOB) == simulator.world.unread[BOB]


def test_every_name_of_the_front_door_is_there() -> None:
    """What is imported late, too; and nothing else is made up."""
    assert all(getattr(bridge.provider, name) for name in bridge.provider.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        bridge.provider.nothing  # noqa: B018


def test_the_provider_is_where_the_settings_say() -> None:
    """The client's defaults and the settings' are the same addresses."""
    provider = load_settings({}).provider
    assert (provider.api_url, provider.auth_url) == (API_URL, AUTH_URL)
