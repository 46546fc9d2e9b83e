"""What a process knows of Redis: whether it answers, and whether it takes a write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.app.parts import RedisHealth
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.keys import Keys
from bridge.journal.overview import server_of
from bridge.journal.reader import Reader, ServerMemory
from bridge.obs.metrics import Metrics
from tests.support.waiting import until
from tests.support.workers import sample


class Watched:
    """The health of one server, looked at all the time."""

    def __init__(self, redis: Redis) -> None:
        self.metrics = Metrics()
        reader = Reader(redis, Keys("exmail"), history_events=1, history_s=1)
        self.health = RedisHealth(reader, self.metrics, look_s=0.02)

    def is_told(self, *, reachable: int, writable: int, reason: str | None) -> bool:
        why = self.health.writable()
        told = (sample(self.metrics, "redis_reachable"), sample(self.metrics, "redis_writable"))
        assert (self.health.reachable() is None) == bool(told[0])
        return told == (reachable, writable) and (None if why is None else why.reason) == reason


@asynccontextmanager
async def watched(url: str) -> AsyncIterator[tuple[Watched, Redis]]:
    redis = RedisAddress(url).client(timeout_s=1)
    operator: Redis = Redis.from_url(url)
    watched = Watched(redis)
    task = asyncio.create_task(watched.health.watch())
    try:
        yield watched, operator
    finally:
        task.cancel()
        await asyncio.wait([task])
        await redis.aclose()
        await operator.aclose()


async def test_what_redis_uses_and_may_use_is_shown(own_server: EmbeddedServer) -> None:
    """And what it does when there is no more."""
    async with watched(own_server.url) as (seen, operator):
        await operator.config_set("maxmemory", "100mb")
        await operator.config_set("maxmemory-policy", "allkeys-lru")

        def shown() -> bool:
            policies = {name: sample(seen.metrics, "redis_policy", policy=name) for name in ("allkeys", "noeviction")}
            limit = sample(seen.metrics, "redis_memory_limit_bytes")
            return limit == 100 * 2**20 and policies == {"allkeys": 1, "noeviction": 0}

        await until(shown)
        assert 0 < sample(seen.metrics, "redis_memory_bytes") < 100 * 2**20


class Managed(Redis):
    """A server that has words where Redis has numbers."""

    async def info(self, section: str | None = None, *args: str, **kwargs: Any) -> Any:
        return {"used_memory": "1.2G", "maxmemory": "unlimited", "aof_enabled": "yes", "maxmemory_policy": 7}


async def test_a_server_may_tell_of_its_memory_in_words(redis_url: str) -> None:
    """Then it is not known, and neither an edge nor a worker, a look at everything nor the self-test ends by it."""
    redis: Any = Managed.from_url(redis_url)
    try:
        reader = Reader(redis, Keys("exmail"), history_events=1, history_s=1)
        assert await reader.memory() == ServerMemory(0, 0, "7")
        told = await server_of(redis)
        assert (told.memory, told.memory_most, told.memory_there, told.append_only) == (0, 0, 0, False)
    finally:
        await redis.aclose()


@pytest.mark.parametrize(
    ("setting", "value", "healthy", "reason"),
    [
        ("maxmemory", "1", "0", "redis-full"),
        ("min-replicas-to-write", "1", "0", "redis-readonly"),
    ],
    ids=["full", "too-few-replicas"],
)
async def test_a_server_that_takes_no_writes_is_found_out(
    own_server: EmbeddedServer, setting: str, value: str, healthy: str, reason: str
) -> None:
    """It answers every question, and is of no use to whoever writes; what is the matter is told by name."""
    async with watched(own_server.url) as (seen, operator):
        await until(lambda: seen.is_told(reachable=1, writable=1, reason=None))
        await operator.config_set(setting, value)
        await until(lambda: seen.is_told(reachable=1, writable=0, reason=reason))
        await operator.config_set(setting, healthy)
        await until(lambda: seen.is_told(reachable=1, writable=1, reason=None))
        assert not await operator.keys("*")


async def test_a_replica_and_a_dead_server_are_two_things(own_server: EmbeddedServer) -> None:
    """A replica answers and takes no writes; rights that lack are a third thing; one that is gone does neither."""
    async with watched(own_server.url) as (seen, operator):
        assert (why := seen.health.reachable()) is not None
        assert why.reason == "starting"
        await until(lambda: seen.is_told(reachable=1, writable=1, reason=None))
        await operator.execute_command("REPLICAOF", "127.0.0.1", "1")
        await operator.config_set("replica-serve-stale-data", "yes")
        await until(lambda: seen.is_told(reachable=1, writable=0, reason="redis-readonly"))
        await operator.execute_command("REPLICAOF", "NO", "ONE")
        await until(lambda: seen.is_told(reachable=1, writable=1, reason=None))
        await operator.execute_command("ACL", "SETUSER", "default", "-evalsha")
        await until(lambda: seen.is_told(reachable=0, writable=0, reason="redis-refuses"))
        own_server.kill()
        await until(lambda: seen.is_told(reachable=0, writable=0, reason="redis"))
