"""What was read and is not committed yet: in order, bounded, each push once, whatever Redis does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.events import SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import LeaseLost
from bridge.provider.pushes import UnreadChanged
from bridge.simulator import Simulator
from bridge.worker.backlog import Backlog
from bridge.worker.translate import Translator
from tests.support.half_written import cut_half_written
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, Told, Truth, running_worker

from .conftest import Parts


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that loses nothing it has answered for, also when it is killed."""
    with EmbeddedServer(tmp_path / "valkey", config={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture
async def redis(durable: EmbeddedServer) -> AsyncIterator[Any]:
    client = RedisAddress(durable.url).client(timeout_s=PATIENCE_S)
    yield client
    await client.aclose()


def counts(*unread: int) -> list[Any]:
    translate = Translator("exmail", "full", {})
    return [translate.unread(UnreadChanged(BOB, each), time_s=0) for each in unread]


async def test_pushes_over_a_killed_redis_are_told_once_and_in_order(
    durable: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """Killed in mid-burst, twice: what came before, during and after is all there, in order, nothing twice."""
    world = simulator.world
    async with running_worker(durable.url, simulator) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        truth = Truth(world)
        for _ in range(2):
            before = len(await told.mails())
            for _ in range(20):
                world.deliver_many(30)
                # Let some of the burst through, so that the kill comes between reading and committing.
                await asyncio.sleep(0)
            await told.wait_mails(before + 1)
            durable.kill()
            for mailbox in list(world.accounts):
                world.deliver_mail(mailbox)
                world.read(mailbox)
            await until(lambda: worker.metric("backlog_pushes") > 0)
            cut_half_written(tmp_path / "valkey")
            durable.restart()
            await told.redial()
            found = await told.wait_mails(len(truth.happened))
            assert len(found) == len(truth.happened)
            for mailbox in world.accounts:
                assert [each for each in found if each[0] == mailbox] == truth.of(mailbox)
        assert worker.metric("backlog_dropped_total") == 0
        assert worker.metric("backlog_pushes") == 0


async def test_a_full_backlog_leaves_the_socket_unread(
    durable: EmbeddedServer, simulator: Simulator, told: Told
) -> None:
    """Beyond the bound the provider's own buffers fill; when Redis is back, all of it is told."""
    most = 50
    async with running_worker(durable.url, simulator, BRIDGE_WORKER_BACKLOG=str(most)) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        truth = Truth(simulator.world)
        durable.kill()
        # More than the kernel's buffers hold.
        for _ in range(400):
            simulator.world.deliver_mail(BOB, summary="字" * 30_000)
        await until(lambda: worker.metric("backlog_pushes") >= most)
        assert [each.connection.unsent_bytes > 0 for each in simulator.listeners] == [True]
        # One read of the socket is added whole; a mail is 90 KB, a read 128.
        assert worker.metric("backlog_pushes") <= most + 2
        durable.restart()
        await told.redial()
        assert await told.wait_mails(400) == truth.happened


async def test_what_a_full_backlog_has_not_taken_yet_is_kept_when_the_listener_is_stopped(parts: Parts) -> None:
    """It was read from the socket: nobody else has it."""
    writer = await parts.writer()
    backlog = Backlog(writer, parts.metrics, most=1)
    await backlog.put(counts(1))
    putting = asyncio.create_task(backlog.put(counts(2, 3)))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.wait([putting])
    assert putting.cancelled()
    assert len(backlog) == 3
    committing = asyncio.create_task(backlog.run())
    await asyncio.wait_for(backlog.drained(), PATIENCE_S)
    committing.cancel()
    await asyncio.wait([committing])
    assert len(backlog) == 0
    assert await parts.redis.xlen(KEYS.log(BOB)) == 3


async def test_nothing_that_was_read_is_in_nobody_s_hands(parts: Parts) -> None:
    """Neither for who asks whether all is committed, nor for who asks whether all that was read by now is."""
    committed: list[Any] = []
    parts.after_batch = committed.extend
    backlog = Backlog(await parts.writer(), parts.metrics, most=1)
    await backlog.put(counts(1))
    putting = asyncio.create_task(backlog.put(counts(2, 3)))
    await asyncio.sleep(0)
    assert not putting.done()
    seen: list[int] = []

    async def look(wait: Callable[[], Awaitable[None]]) -> None:
        await wait()
        seen.append(len(committed))

    committing = asyncio.create_task(backlog.run())
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(look(backlog.drained))
        tasks.create_task(look(backlog.caught_up))
    await asyncio.wait_for(putting, PATIENCE_S)
    committing.cancel()
    await asyncio.wait([committing])
    assert seen == [3, 3]


async def test_what_a_deposed_leader_drops_is_counted(parts: Parts) -> None:
    """Refused by the fence, then given up; announcements about ourselves are nobody's loss."""
    writer = await parts.writer()
    backlog = Backlog(writer, parts.metrics, most=100)
    await parts.writer()
    await backlog.put(counts(1, 2))
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(backlog.run(), PATIENCE_S)
    backlog.add(counts(3))
    backlog.add([Announce(build_event(namespace="exmail", stream=SYSTEM, type="exmail.x", time_s=0, data={}))])
    assert backlog.drop() == 3
    assert len(backlog) == 0
    assert parts.metric("commits_total", result="refused") == 2
    assert parts.metric("backlog_dropped_total") == 3
    assert parts.metric("backlog_pushes") == 0
    assert not await parts.redis.exists(KEYS.log(BOB))
    await asyncio.wait_for(backlog.drained(), PATIENCE_S)


async def test_the_oldest_that_waits_has_an_age(parts: Parts) -> None:
    """It grows until it is committed or given up, whatever comes after it, and is 0 where nothing waits."""
    writer = await parts.writer()
    backlog = Backlog(writer, parts.metrics, most=100)
    assert parts.metric("backlog_age_seconds") == 0
    backlog.add([])
    assert parts.metric("backlog_age_seconds") == 0
    backlog.add(counts(1))
    ages = [parts.metric("backlog_age_seconds")]
    backlog.add(counts(2))
    ages.append(parts.metric("backlog_age_seconds"))
    assert 0 < ages[0] < ages[1]
    committing = asyncio.create_task(backlog.run())
    await asyncio.wait_for(backlog.drained(), PATIENCE_S)
    committing.cancel()
    await asyncio.wait([committing])
    assert parts.metric("backlog_age_seconds") == 0
    backlog.add(counts(3, 4))
    assert parts.metric("backlog_age_seconds") > 0
    backlog.drop()
    assert parts.metric("backlog_age_seconds") == 0
