"""What an operator orders while the worker is busy, or about to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.journal.orders import Orders
from bridge.simulator import Kind, Simulator
from tests.support.stage import mail
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, WAIT_S, Told, running_worker, simulating

from .conftest import Parts, pulled


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(600) as running:
        yield running


async def test_forgetting_does_not_wait_for_a_long_fill(
    redis_url: str, parts: Parts, simulator: Simulator, told: Told
) -> None:
    """It is done between two parts of it, and the fill goes on."""
    for number in range(1800):
        simulator.world.add_user(f"new{number}@gzdev.com")
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    await told.redis.delete(KEYS.lease)
    orders = Orders(told.redis, KEYS)
    async with running_worker(redis_url, simulator):
        await simulator.calls.wait("user/get", 20, timeout_s=WAIT_S)
        # From the second part on the provider takes its time.
        simulator.faults.on(Kind.DELAY, endpoint="user/get", value=0.1)
        assert (await orders.ask("forget", BOB, within_s=WAIT_S))["ok"]
        assert await _mails(told) == 0
        assert not await told.redis.exists(KEYS.ver)
        simulator.faults.clear()
        await told.wait("directory.synced")


async def test_an_order_outlives_the_worker_that_took_it(
    redis_url: str, parts: Parts, simulator: Simulator, told: Told
) -> None:
    """It goes on with the next worker, whose answer whoever gave it is told."""
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    await told.redis.delete(KEYS.lease)
    orders = Orders(told.redis, KEYS)
    simulator.faults.on(Kind.SILENT, endpoint="user/get")
    async with running_worker(redis_url, simulator):
        # From here on the fill has its turn, and keeps it: the order is taken and cannot be done.
        await simulator.calls.wait("user/get", 1, timeout_s=WAIT_S)
        asking = asyncio.create_task(orders.ask("forget", BOB, within_s=3 * WAIT_S))
        await until(lambda: _is_taken(told))
    assert not asking.done()
    assert await _mails(told) == 1
    simulator.faults.clear()
    async with running_worker(redis_url, simulator):
        assert (await asking)["ok"]
        await until(lambda: _is_done(told))
    assert await _mails(told) == 0


async def test_an_order_that_began_from_another_cursor_is_done_all_the_same(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """Redis was set back under the leader: it reads what is stored, and does it then; the operator notices nothing."""
    orders = Orders(told.redis, KEYS)
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await told.redis.set(KEYS.ver, simulator.world.ver - 1)
        assert (await orders.ask("forget", BOB, within_s=WAIT_S))["ok"]
        assert not await told.redis.hexists(KEYS.directory, BOB)
        assert worker.leads
        assert await _is_done(told)


async def test_a_comparison_that_a_fault_breaks_off_goes_on(parts: Parts, simulator: Simulator, told: Told) -> None:
    """The order fails and says so; what was begun is finished by itself, and costs no second listing."""
    directory = await parts.directory()
    await pulled(directory)
    simulator.world.modify_user(list(simulator.world.accounts)[-1], name="Last")
    await parts.redis.set(KEYS.ver, simulator.world.ver)
    directory.doubt()
    await pulled(directory)
    listed, read = simulator.calls.count("user/list"), simulator.calls.count("user/get")
    running = asyncio.create_task(directory.resync())
    await simulator.calls.wait("user/get", read + 300, timeout_s=WAIT_S)
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="user/get", value=502)
    with pytest.raises(Exception, match="502"):
        await running
    simulator.faults.clear()
    await pulled(directory)
    assert simulator.calls.count("user/list") - listed <= 2
    assert [data["profile"]["name"] for data in await told.data("directory.user.updated")] == ["Last"]
    assert parts.metric("directory_syncs_total", kind="full", outcome="changed") == 2


async def _mails(told: Told) -> int:
    """How many mails of Bob's are kept; his count may be asked for at any time."""
    return sum(b"exmail.mail.new" in fields[b"event"] for _, fields in await told.redis.xrange(KEYS.log(BOB)))


async def _is_taken(told: Told) -> bool:
    return bool(await told.redis.exists(KEYS.orders_taken))


async def _is_done(told: Told) -> bool:
    return not await told.redis.exists(KEYS.orders_taken, KEYS.orders)
