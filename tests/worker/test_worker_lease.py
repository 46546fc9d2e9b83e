"""Who leads: handed over, taken over, and never two; and a Redis that comes back with yesterday's data."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator
from tests.support.members import fresh, mirrored
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, CLOCK_MS, KEYS, Told, lapsed, running_worker, worker_program

FIELDS = ("alias", "name", "parties", "slaves", "status")


async def led(told: Told, n: int) -> list[int]:
    """Wait for ``n`` changes of leaders; their fences."""
    return [data["fence"] for data in await told.wait("leader.changed", n)]


async def sessions(simulator: Simulator, told: Told, n: int) -> None:
    """Wait until the ``n``-th session stands."""
    await told.wait("upstream.connected", n)
    await simulator.listeners.wait_hearing()


async def test_a_leader_that_stops_hands_over_at_once(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Released, not run out: the lease is far longer than this test waits."""
    lease = {"BRIDGE_WORKER_LEASE": "300"}
    async with running_worker(redis_url, simulator, **lease) as first:
        await sessions(simulator, told, 1)
        async with running_worker(redis_url, simulator, **lease) as second:
            mail = simulator.world.deliver_mail(BOB)
            await told.wait_mails(1)
            await first.end()
            await second.until_leading()
            assert await led(told, 2) == [1, 2]
            await sessions(simulator, told, 2)
            after = simulator.world.deliver_mail(BOB)
            assert [each[1] for each in await told.wait_mails(2)] == [mail.mail_id, after.mail_id]
            assert (first.leads, second.leads) == (False, True)
            # The second one knew nothing of the first but what Redis holds.
            [missed] = await told.wait("upstream.missed")
            assert missed["since"] <= missed["until"]
            states = [
                e["type"].rsplit(".", 1)[1] for e in await told.events("upstream.connected", "upstream.disconnected")
            ]
            assert states == ["connected", "disconnected", "connected"]
    assert not await told.redis.exists(KEYS.lease)


async def test_what_was_read_is_committed_before_the_lease_is_let_go(
    redis_url: str, simulator: Simulator, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop right behind a burst loses nothing of what the worker had read, if there is time for it."""
    monkeypatch.setattr("bridge.worker.leader._DRAIN_S", PATIENCE_S)
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await sessions(simulator, told, 1)
        simulator.world.deliver_many(2000, BOB)
        await until(lambda: worker.metric("pushes_total", type="mail") > 0)
    assert len(await told.mails()) == worker.metric("pushes_total", type="mail")
    assert worker.metric("backlog_dropped_total") == 0


async def test_a_killed_leader_is_replaced_and_the_gap_is_told(
    redis_url: str, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """SIGKILL: the standby leads, and says since when mails may be missing."""
    world = simulator.world
    with worker_program(tmp_path, redis_url, simulator) as program:
        assert await led(told, 1) == [1]
        await sessions(simulator, told, 1)
        async with running_worker(redis_url, simulator) as standby:
            first = world.deliver_mail(BOB)
            await told.wait_mails(1)
            # How far the leader has come is told with the lease.
            await until(lambda: _heard(told, first.time_s))
            assert not standby.leads
            program.kill()
            program.wait()
            await simulator.listeners.wait(0)
            lost = world.deliver_mail(BOB)
            await standby.until_leading()
            assert await led(told, 2) == [1, 2]
            [missed] = await told.wait("upstream.missed")
            # Whatever the dead leader had not committed lies in the gap that is told.
            assert first.time_s * 1000 - CLOCK_MS <= missed["since"] <= lost.time_s * 1000 + CLOCK_MS
            assert lost.time_s * 1000 <= missed["until"] + CLOCK_MS
            [corrected] = await told.wait("mail.unread")
            assert (corrected["unread"], corrected["reason"]) == (world.unread[BOB], "reconcile")
            after = world.deliver_mail(BOB)
            await until(lambda: _is_last(told, after.mail_id))
            assert standby.metric("leader") == 1


async def _heard(told: Told, since_s: float) -> bool:
    return int(await told.redis.hget(KEYS.upstream, "heard") or 0) >= since_s * 1000


async def _is_last(told: Told, mail_id: str) -> bool:
    return [each[1] for each in await told.mails()][-1:] == [mail_id]


async def test_a_paused_leader_that_wakes_writes_nothing(
    redis_url: str, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """Asleep past its lease with unread pushes in its socket: the fence refuses them, and it stands by."""
    world = simulator.world
    with worker_program(tmp_path, redis_url, simulator) as program:
        await told.wait("directory.synced")
        await sessions(simulator, told, 1)
        program.send_signal(signal.SIGSTOP)
        late = world.deliver_mail(BOB)
        async with running_worker(redis_url, simulator) as other:
            await lapsed(told.redis)
            await other.until_leading()
            await sessions(simulator, told, 2)
            after = world.deliver_mail(BOB)
            await until(lambda: _is_last(told, after.mail_id))
            program.send_signal(signal.SIGCONT)
            log = tmp_path / "worker.log"
            await until(lambda: "lease lost" in log.read_text())
            await until(lambda: '"pushes":1' in log.read_text().replace(" ", ""))
            assert other.leads
            assert late.mail_id not in {each[1] for each in await told.mails()}
            assert await led(told, 2) == [1, 2]
            assert (await told.redis.get(KEYS.lease)).startswith(b"2:")
        # It stands by: the lease that is let go now is its own again.
        assert await led(told, 3) == [1, 2, 3]
        program.send_signal(signal.SIGTERM)
        assert program.wait(PATIENCE_S) == 0
    assert not await told.redis.exists(KEYS.lease)


@pytest.fixture
async def told(request: pytest.FixtureRequest) -> AsyncIterator[Told]:
    """On the session's server, or the test's own where it has one."""
    own = "own_server" in request.fixturenames
    url = request.getfixturevalue("own_server").url if own else request.getfixturevalue("redis_url")
    client: Any = RedisAddress(url).client(timeout_s=PATIENCE_S)
    yield Told(client)
    await client.aclose()


async def test_a_redis_with_yesterdays_data_begins_a_generation(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """No position twice: new epochs; cursor, members, counts and the upstream state come right by themselves."""
    world = simulator.world
    folder, kept = tmp_path / "valkey" / "appendonlydir", tmp_path / "yesterday"
    async with running_worker(own_server.url, simulator) as worker:
        await told.wait("directory.synced")
        await sessions(simulator, told, 1)
        world.deliver_mail(BOB)
        await told.wait_mails(1)
        await told.redis.hset(KEYS.upstream, "state", "disconnected")
        yesterday = int(await told.redis.get(KEYS.ver))
        own_server.kill()
        shutil.copytree(folder, kept)
        own_server.restart()
        await told.redial()
        world.modify_user(BOB, name="Robert")
        world.deliver_many(5, BOB)
        await told.wait_mails(6)
        await until(lambda: worker.metric("cursor_ver") == world.ver)
        old_epoch = await told.redis.hget(KEYS.state(BOB), "epoch")
        generation = worker.metric("generation")
        own_server.kill()
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        own_server.restart()
        await told.redial()
        assert yesterday < world.ver
        await until(lambda: worker.metric("generation") > generation)
        # Members of today, and the cursor that stands for them.
        await until(lambda: _mirror_is(told, fresh(world, FIELDS)))
        await until(lambda: _ver_is(told, world.ver))
        # The count of today, in an epoch of its own.
        await until(lambda: _unread_is(told, world.unread[BOB]))
        assert await told.redis.hget(KEYS.state(BOB), "epoch") != old_epoch
        await until(lambda: _upstream_is(told, "connected"))
        mail = world.deliver_mail(BOB)
        await until(lambda: _is_last(told, mail.mail_id))
        assert worker.metric("backlog_dropped_total") == 0


async def _mirror_is(told: Told, members: dict[str, Any]) -> bool:
    return await mirrored(told.redis) == members


async def _ver_is(told: Told, ver: int) -> bool:
    return bool(await told.redis.get(KEYS.ver) == str(ver).encode())


async def _unread_is(told: Told, unread: int) -> bool:
    return bool(await told.redis.hget(KEYS.state(BOB), "unread") == str(unread).encode())


async def _upstream_is(told: Told, state: str) -> bool:
    return await told.upstream() == state
