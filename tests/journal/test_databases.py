"""The same namespace in two databases of one server is noticed: channels know no databases."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.journal.connect import RedisAddress
from bridge.journal.databases import Databases
from bridge.journal.keys import Keys
from bridge.worker.neighbours import NeighbourWatch
from tests.support.waiting import PATIENCE_S, until

KEYS = Keys("exmail")
SAID = "another bridge of this namespace leads in another database of this server"


async def test_who_leads_elsewhere_is_found(redis: Any, redis_url: str) -> None:
    """A lease counts, data alone do not; from either side; another namespace is nobody's business."""
    other = RedisAddress(f"{redis_url}?db=3").client(timeout_s=PATIENCE_S)
    here, there = Databases(redis, KEYS), Databases(other, KEYS)
    try:
        assert await here.led_elsewhere() == []
        await other.set(KEYS.ver, "1")
        await other.set(Keys("hr").lease, "1:x")
        await redis.set(KEYS.lease, "1:x")
        assert await here.led_elsewhere() == []
        assert await there.led_elsewhere() == [0]
        await other.set(KEYS.lease, "1:y", px=60_000)
        assert await here.led_elsewhere() == [3]
        # The pool's connections are where they were.
        assert await redis.get(KEYS.lease) == b"1:x"
    finally:
        await other.aclose()


class Managed(Redis):
    """A server that tells more of its databases than Redis does."""

    async def info(self, section: str | None = None, *args: str, **kwargs: Any) -> Any:
        told = await super().info(section, *args, **kwargs)  # type: ignore[misc]
        return {**told, "dbsize_total": 7, "db_limit": {"keys": 1}, "tenant": "a"}


async def test_what_is_no_database_is_passed_over(redis: Any, redis_url: str) -> None:
    """A managed server's own lines among them end no worker, and hide nothing."""
    there = RedisAddress(f"{redis_url}?db=3").client(timeout_s=PATIENCE_S)
    here: Any = Managed.from_url(redis_url)
    try:
        await there.set(KEYS.lease, "1:y", px=60_000)
        assert await Databases(here, KEYS).led_elsewhere() == [3]
    finally:
        await there.aclose()
        await here.aclose()


async def test_who_may_not_look_finds_none(redis: Any, redis_url: str) -> None:
    """Rights that somebody else gives may lack it; that is no reason to end."""
    await redis.execute_command("ACL", "SETUSER", "poor", "on", ">x", "~*", "+get", "-info")
    client = RedisAddress(redis_url, "poor", lambda: "x").client(timeout_s=PATIENCE_S)
    try:
        assert await Databases(client, KEYS).led_elsewhere() == []
    finally:
        await client.aclose()
        await redis.execute_command("ACL", "DELUSER", "poor")


async def test_it_is_said_once(redis: Any, redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each database once, however often it is looked for."""
    other: Any = Redis.from_url(f"{redis_url}?db=3")
    await other.set(KEYS.lease, "1:y")
    asked = 0

    class Counted(Databases):
        async def led_elsewhere(self) -> list[int]:
            nonlocal asked
            asked += 1
            return await super().led_elsewhere()

    with caplog.at_level(logging.ERROR):
        watching = asyncio.create_task(NeighbourWatch(Counted(redis, KEYS), look_s=0.01).run())
        try:
            await until(lambda: asked > 5)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await other.aclose()
    assert [vars(record)["databases"] for record in caplog.records if record.message == SAID] == [[3]]
