"""Redis is away for longer than a lease: what the leader has read meanwhile is committed, whoever stands by."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator
from bridge.supervision import StartRefused
from tests.support.redis_proxy import redis_proxy
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, Told, running_worker

from .test_worker_lease import sessions, told

__all__ = ["told"]


async def test_a_standby_leaves_the_leader_time_to_commit_what_it_kept(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Both lost Redis; the lease has run out; only the leader has what was pushed, and he comes back second."""
    world = simulator.world
    caplog.set_level(logging.INFO)
    async with (
        redis_proxy(own_server.url) as way,
        running_worker(way.url, simulator, BRIDGE_WORKER_LEASE="6") as first,
    ):
        await first.until_leading()
        await sessions(simulator, told, 1)
        async with running_worker(own_server.url, simulator, BRIDGE_WORKER_LEASE="6") as standby:
            world.deliver_mail(BOB)
            await told.wait_mails(1)
            await until(lambda: "standing by, another worker leads" in caplog.messages)
            own_server.kill()
            kept = world.deliver_many(3, BOB)
            await until(lambda: first.metric("backlog_pushes") >= 3)
            # Its waits come to more than a lease by then, which nobody has renewed: whoever asks now would get it.
            await until(lambda: first.metric("backlog_age_seconds") > 7)
            way.closed = True
            own_server.restart()
            await told.redial()
            await until(lambda: looked(told))
            way.closed = False
            await told.wait_mails(4)
            assert [each[1] for each in await told.mails()][-3:] == [mail.mail_id for mail in kept]
            assert first.metric("backlog_dropped_total") == 0
            assert first.leads
            assert not standby.leads


@pytest.mark.parametrize("setting", ["min-replicas-to-write", "maxmemory"])
async def test_what_is_pushed_while_a_server_takes_no_writes_is_told_afterwards(
    redis_url: str, simulator: Simulator, told: Told, setting: str
) -> None:
    """Whatever else a leader has to do there, nothing of it ends him."""
    async with running_worker(redis_url, simulator) as worker:
        await sessions(simulator, told, 1)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        await told.redis.config_set(setting, "1")
        try:
            kept = simulator.world.deliver_many(3, BOB)
            await until(lambda: worker.metric("backlog_pushes") >= 3)
            # What else a leader does there comes once a second, this first of all.
            before = await tried(told, "ltrim")
            await until(lambda: tried_again(told, "ltrim", before))
        finally:
            await told.redis.config_set(setting, "0")
        await told.wait_mails(4)
        assert [each[1] for each in await told.mails()][-3:] == [mail.mail_id for mail in kept]


async def tried(told: Told, command: str) -> int:
    """How often somebody sent the command, whatever the answer was."""
    stats = (await told.redis.info("commandstats")).get(f"cmdstat_{command}", {})
    return int(stats.get("calls", 0)) + int(stats.get("rejected_calls", 0))


async def tried_again(told: Told, command: str, before: int) -> bool:
    return await tried(told, command) >= before + 2


async def looked(told: Told) -> bool:
    """Whether who stands by has found the server that was started again."""
    return bool((await told.redis.info("commandstats")).get("cmdstat_hgetall"))


async def test_a_worker_that_ends_by_an_error_lets_go_of_the_lease(redis_url: str, simulator: Simulator) -> None:
    """The next one need not wait for it to run out."""
    redis = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    with pytest.raises(StartRefused, match="is a string"):
        async with running_worker(redis_url, simulator) as worker:
            await worker.until_leading()
            # Of another type: the next commit is refused, and waiting does not mend that.
            await redis.delete(KEYS.events)
            await redis.set(KEYS.events, "")
            simulator.world.deliver_mail(BOB)
            await asyncio.wait([worker.task], timeout=PATIENCE_S)
    assert not await redis.exists(KEYS.lease)
    await redis.aclose()
