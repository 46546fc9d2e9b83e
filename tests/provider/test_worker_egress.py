"""The worker behind a company's proxy: all it does goes through the tunnel, and it says why when there is none."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.journal.connect import RedisAddress
from bridge.simulator import Simulator
from tests.support.connect_proxy import ConnectProxy, connect_proxy
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, WAIT_S, Told, running_worker, simulating


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating() as running:
        yield running


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with connect_proxy() as running:
        yield running


@pytest.fixture
async def told(redis_url: str) -> AsyncIterator[Told]:
    client: Any = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    yield Told(client)
    await client.aclose()


async def test_a_push_comes_through_the_tunnel(
    redis_url: str, simulator: Simulator, proxy: ConnectProxy, told: Told
) -> None:
    """Token, listen, directory and mail; after the proxy has cut it, again. The provider sees the proxy only."""
    away = {"BRIDGE_PROVIDER_PROXY": proxy.url, "BRIDGE_PROVIDER_NO_PROXY": "elsewhere.net"}
    async with running_worker(redis_url, simulator, **away):
        await simulator.listeners.wait(timeout_s=WAIT_S)
        await told.wait("directory.synced")
        simulator.world.deliver_mail(BOB)
        assert [mail["mailbox"] for mail in await told.wait("mail.new")] == [BOB]
        first = len(proxy.targets)
        proxy.cut()
        await until(lambda: len(proxy.targets) > first and simulator.listeners.count > 0)
        assert simulator.connection_count == len(proxy.targets)
    assert set(proxy.targets) == {f"127.0.0.1:{simulator.port}"}


async def test_a_closed_port_is_told_by_the_worker(
    redis_url: str, simulator: Simulator, proxy: ConnectProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy, target and status stand in the log; the worker goes on trying."""
    caplog.set_level(logging.INFO)
    proxy.closed_ports.add(simulator.port)
    away = {"BRIDGE_PROVIDER_PROXY": proxy.url, "BRIDGE_PROVIDER_NO_PROXY": "elsewhere.net"}
    async with running_worker(redis_url, simulator, **away):
        await until(lambda: len(proxy.refused) > 1)
    says = f"gave no tunnel to 127.0.0.1:{simulator.port}: status 403 Forbidden"
    assert any(says in str(vars(record)) for record in caplog.records)
    assert simulator.connection_count == 0
