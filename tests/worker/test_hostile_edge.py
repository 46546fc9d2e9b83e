"""An edge that somebody has taken over writes what its user may: the worker goes on, for everybody else as before."""

from __future__ import annotations

from typing import Any

from bridge.simulator import Simulator
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker


async def test_what_an_edge_may_write_ends_no_worker(
    redis_url: str, redis: Any, simulator: Simulator, told: Told
) -> None:
    """Names that are none, and values that are none, in a mailbox and in the streams that belong to nobody."""
    odd = (b"\xff", b" ", b"", b"odd", b"x" * 5000)
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new")
        for stream in (BOB, "system", "directory"):
            await redis.hset(KEYS.state(stream), mapping={"unread": "odd", "seq": "odd", "epoch": 'a"'})
        await redis.zadd(KEYS.online, dict.fromkeys(odd, 4e9))
        await redis.sadd(KEYS.wanted, BOB, *odd)

        async def taken() -> bool:
            return not await redis.exists(KEYS.wanted)

        await until(taken)
        # A gap: who is on line is asked for.
        simulator.cut()
        await told.wait("upstream.connected", 2)
        await simulator.listeners.wait_hearing()
        simulator.world.modify_user(BOB, name="Robert")
        await told.wait("directory.user.updated")
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new", 2)
        assert worker.leads
        assert not worker.task.done()


async def test_a_mailbox_that_became_another_thing_ends_no_worker(
    redis_url: str, redis: Any, simulator: Simulator, told: Told
) -> None:
    """An operator's slip: its mail is announced all the same, and so are everybody's."""
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new")
        for key in (KEYS.state(BOB), KEYS.log(BOB), KEYS.seen(BOB), KEYS.wanted):
            await redis.delete(key)
            await redis.set(key, "odd")
        # A gap: the count is asked for.
        simulator.cut()
        await told.wait("upstream.connected", 2)
        await simulator.listeners.wait_hearing()
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new", 2)

        async def put_right() -> bool:
            return await redis.type(KEYS.wanted) != b"string"

        await until(put_right)
        assert worker.leads
        assert not worker.task.done()
