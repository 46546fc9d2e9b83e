"""The worker's metrics say how near other services' consumer groups are to losing events."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.journal.groups import Groups
from bridge.journal.mirror import Mirror
from bridge.obs.metrics import Metrics
from bridge.simulator import Simulator
from bridge.worker.readers import ReaderWatch
from tests.support.waiting import until
from tests.support.workers import KEYS, running_worker, sample


async def test_a_worker_tells_of_the_slowest_group(redis: Any, redis_url: str, simulator: Simulator) -> None:
    """As a part of what the stream keeps, ``BRIDGE_EVENTS_MAX``."""
    await redis.xadd(KEYS.events, {"event": "{}", "type": "exmail.x", "mailbox": ""}, "1-0")
    await redis.xgroup_create(KEYS.events, "one", "0")
    async with running_worker(redis_url, simulator, BRIDGE_EVENTS_MAX="1000") as worker:
        await until(lambda: worker.metric("reader_unread_ratio") > 0)


async def test_a_worker_counts_people_once(redis: Any, redis_url: str, simulator: Simulator) -> None:
    """Who is at two edges is one; whose entry has expired is none."""
    seconds, _ = await redis.time()
    for alias, until_s in {"a": 90, "b": 90, "gone": -1}.items():
        await redis.zadd(KEYS.online, {f"{alias}@gzdev.com": seconds + until_s})
    # Another edge.
    await redis.zadd(KEYS.online, {"a@gzdev.com": seconds + 91})
    async with running_worker(redis_url, simulator) as worker:
        await until(lambda: worker.metric("people_online") == 2)


async def test_it_goes_on_whatever_is_wrong(redis: Any) -> None:
    """A value of another type under that name is not told of here, and looking goes on."""
    metrics = Metrics()
    watch = ReaderWatch(Groups(redis, KEYS), Mirror(redis, KEYS), metrics, most=10, look_s=0.01)
    await redis.set(KEYS.events, "odd")
    looking = asyncio.create_task(watch.run())
    try:

        async def has_looked() -> bool:
            return any(client["cmd"] == "xinfo|groups" for client in await redis.client_list())

        await until(has_looked)
        await redis.delete(KEYS.events)
        await redis.xgroup_create(KEYS.events, "one", "0", mkstream=True)
        await redis.xadd(KEYS.events, {"event": "{}"}, "7-0")
        await redis.xadd(KEYS.events, {"event": "{}"}, "7-1")
        await until(lambda: sample(metrics, "reader_unread_ratio") > 0)
    finally:
        looking.cancel()
