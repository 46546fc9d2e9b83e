"""Histories in which no two machines have the same time: workers, edges and an operator, and a server that is promoted.

What two of them compare is Redis's clock, and what two servers may compare is a counter; so all promises hold as where
everybody has the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer, find_bundled_binary
from tests.support.history.checker import check
from tests.support.history.harness import DURABLE, EDGES, WORKERS, Harness
from tests.support.history.injection import play_one
from tests.support.processes import free_port, program, worker_environ
from tests.support.stage import KEYS
from tests.support.waiting import PATIENCE_S, until
from tests.support.wrapped import Clock, wrapper

APART_S: Final = 100
BEHIND_S: Final = 30
SLACK_S: Final = 5
FAULTS: Final = ("refuse_connections", "kill_both_workers", "kill_edge")


@pytest.fixture
def library(require_library: Callable[[str], str]) -> str:
    return require_library("libfaketime.so.1")


def clock(library: str, folder: Path, ahead_s: int) -> Mapping[str, str]:
    folder.mkdir()
    found = Clock(library, folder)
    found.set(ahead_s)
    return found.environ


async def test_nothing_is_lost_or_wrong_where_clocks_are_apart(tmp_path: Path, library: str) -> None:
    """Two workers and two edges in different directions, an operator as far off; and the other way round."""
    async with asyncio.TaskGroup() as histories:
        for name, ahead_s in (("ahead", APART_S), ("behind", -APART_S)):
            folder = tmp_path / name
            folder.mkdir()
            histories.create_task(apart(folder, library, ahead_s, people=ahead_s > 0), name=name)


async def apart(folder: Path, library: str, ahead_s: int, *, people: bool) -> None:
    far = {WORKERS[0]: ahead_s, WORKERS[1]: -ahead_s, EDGES[0]: -ahead_s, EDGES[1]: ahead_s, "operator": -ahead_s}
    environs = {name: clock(library, folder / name.replace(" ", "-"), each_s) for name, each_s in far.items()}
    began_s = time.time()
    with EmbeddedServer(folder / "valkey", config=DURABLE) as server:
        async with Harness(server, 7, people=people, environs=environs) as harness:
            for name in FAULTS:
                await play_one(harness, name)
            order = worker_environ(server.url, harness.provider) | environs["operator"]
            async with program("directory", "resync", environ=order) as resync:
                assert await resync.ended() == 0, resync.lines
            await harness.calm()
            await check(harness)
            await assert_all_stamps_are_redis_s(harness, began_s)


async def assert_all_stamps_are_redis_s(harness: Harness, began_s: float) -> None:
    """Whoever told it: no time of an event is before the history began, or still to come."""
    redis: Any = harness.redis
    ends_s = time.time()
    for _, fields in await redis.xrange(KEYS.events):
        event = orjson.loads(fields[b"event"])
        told = [event["data"][name] / 1000 for name in ("since", "until", "as_of") if event["data"].get(name)]
        for at_s in (datetime.fromisoformat(event["time"]).timestamp(), *told):
            assert began_s - SLACK_S <= at_s <= ends_s + SLACK_S, event


AT_ONCE = {"repl-diskless-sync-delay": "0"}
"""Otherwise a master waits five seconds for more replicas that might begin with the first."""


async def test_a_server_whose_clock_is_behind_is_promoted(tmp_path: Path, library: str) -> None:
    """Half a minute: ids and counts grow all the same, each gap is told, nobody is accused of what he was given."""
    bundled = find_bundled_binary()
    assert bundled is not None
    slow = wrapper(tmp_path, str(bundled), environ=dict(clock(library, tmp_path / "slow", -BEHIND_S)))
    with (
        EmbeddedServer(tmp_path / "first", config={**DURABLE, **AT_ONCE}, port=free_port()) as first,
        EmbeddedServer(tmp_path / "second", config=DURABLE, binary=slow) as second,
    ):
        replica = RedisAddress(second.url).client(timeout_s=PATIENCE_S)
        await replica.execute_command("REPLICAOF", "127.0.0.1", first.tcp_url.rpartition(":")[2].partition("/")[0])
        async with Harness(first, 7) as harness:
            await play_one(harness, "cut_upstream")
            traffic = asyncio.create_task(harness.traffic(), name="traffic")
            await promoted(harness, replica, second)
            first.kill()
            traffic.cancel()
            await asyncio.wait([traffic])
            await play_one(harness, "kill_worker")
            await harness.calm()
            await check(harness)


async def promoted(harness: Harness, replica: Any, server: EmbeddedServer) -> None:
    """In order, as an operator does it: nothing is written any more, the replica has all, everybody goes there."""
    await harness.redis.execute_command("CLIENT", "PAUSE", 600_000, "WRITE")
    offset = (await harness.redis.info("replication"))["master_repl_offset"]

    async def has_all() -> bool:
        return bool((await replica.info("replication")).get("slave_repl_offset", 0) >= offset)

    await until(has_all)
    await replica.execute_command("REPLICAOF", "NO", "ONE")
    harness.done.append("promote")
    harness.behind_ms = BEHIND_S * 1000
    former, harness.redis, harness.server = harness.redis, replica, server
    for way in harness.ways.values():
        way.target = server.url
        way.cut()
    await former.aclose()
