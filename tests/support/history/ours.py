"""What goes wrong on our side: with the programs, with Redis, and on the way to it."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from redis.asyncio import Redis

from tests.support.files_bounded import files_bounded
from tests.support.history.harness import EDGES, LEASE_S, WORKERS, Harness
from tests.support.history.registry import breaks

# -- the programs


@breaks("worker")
async def kill_worker(harness: Harness, dice: random.Random) -> None:
    name = dice.choice(WORKERS)
    await harness.programs[name].kill()
    await harness.begin(name)


@breaks("worker")
async def stop_worker(harness: Harness, dice: random.Random) -> None:
    name = dice.choice(WORKERS)
    assert await harness.programs[name].stop() == 0
    await harness.begin(name)


@breaks("worker")
async def pause_worker(harness: Harness, dice: random.Random) -> None:
    """Past its lease, perhaps; the other leads; then it wakes."""
    await _pause(harness.programs[dice.choice(WORKERS)].pid, dice.uniform(0.5, 2.5))


@breaks("worker")
async def kill_both_workers(harness: Harness, dice: random.Random) -> None:
    await asyncio.gather(*(harness.programs[name].kill() for name in WORKERS))
    await asyncio.sleep(dice.uniform(0, 0.5))
    await asyncio.gather(*(harness.begin(name) for name in WORKERS))


@breaks("edge")
async def kill_edge(harness: Harness, dice: random.Random) -> None:
    name = dice.choice(EDGES)
    await harness.programs[name].kill()
    await harness.begin(name)


@breaks("edge")
async def stop_edge(harness: Harness, dice: random.Random) -> None:
    name = dice.choice(EDGES)
    assert await harness.programs[name].stop() == 0
    await harness.begin(name)


@breaks("edge")
async def pause_edge(harness: Harness, dice: random.Random) -> None:
    await _pause(harness.programs[dice.choice(EDGES)].pid, dice.uniform(0.2, 2.0))


@breaks("edge")
async def starve_edge_of_files(harness: Harness, dice: random.Random) -> None:
    """No file descriptor is left while strangers knock."""
    number = dice.randrange(2)
    pid = harness.programs[EDGES[number]].pid
    with files_bounded(pid, 2):
        knocks = [asyncio.open_connection("127.0.0.1", harness.ports[number]) for _ in range(10)]
        knocking = [each for each in await asyncio.gather(*knocks, return_exceptions=True) if isinstance(each, tuple)]
        await asyncio.sleep(dice.uniform(0.2, 1.0))
        for _, writer in knocking:
            writer.transport.abort()


# -- Redis


@breaks("redis")
async def kill_redis(harness: Harness, dice: random.Random) -> None:
    harness.server.kill()
    await asyncio.sleep(dice.uniform(0, 1.0))
    await asyncio.to_thread(harness.server.restart)


@breaks("redis")
async def restart_redis(harness: Harness, dice: random.Random) -> None:
    await asyncio.to_thread(harness.server.restart)


@breaks("redis")
async def restart_redis_slowly(harness: Harness, dice: random.Random) -> None:
    """For longer than the lease. Perhaps the workers find that nobody listens; perhaps what is between them answers."""
    harness.server.kill()
    seen = dice.random() < 0.7
    if seen:
        harness.ways["workers"].leave()
    await asyncio.sleep(LEASE_S * dice.uniform(1.2, 2.0))
    await asyncio.to_thread(harness.server.restart)
    if seen:
        await harness.ways["workers"].listen()


@breaks("redis")
async def pause_redis(harness: Harness, dice: random.Random) -> None:
    assert harness.server.pid is not None
    await _pause(harness.server.pid, dice.uniform(0.2, 3.0))


@breaks("redis")
async def fill_redis(harness: Harness, dice: random.Random) -> None:
    """Out of memory, and nothing may be evicted."""
    await harness.redis.config_set("maxmemory", "1")
    await asyncio.sleep(dice.uniform(0.3, 1.5))
    await harness.redis.config_set("maxmemory", "0")


@breaks("redis")
async def demote_redis(harness: Harness, dice: random.Random) -> None:
    """A replica of nobody: it answers, and takes no writes."""
    await harness.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    await asyncio.sleep(dice.uniform(0.3, 1.5))
    await harness.redis.execute_command("REPLICAOF", "NO", "ONE")


@breaks("redis")
async def cut_pubsub(harness: Harness, dice: random.Random) -> None:
    await harness.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


@breaks("redis")
async def overrun_pubsub(harness: Harness, dice: random.Random) -> None:
    """More than a subscriber's output buffer may hold: Redis cuts it."""
    limit = "client-output-buffer-limit"
    usual = (await harness.redis.config_get(limit))[limit]
    await harness.redis.config_set(limit, "pubsub 1024 0 0")
    before = await _listening(harness.redis)
    for _ in range(20):
        for mailbox in harness.boxes:
            harness.world.deliver_many(60, mailbox)
        await asyncio.sleep(0.1)
        if not before <= await _listening(harness.redis):
            break
    await harness.redis.config_set(limit, usual)


# -- the way to Redis


@breaks("way")
async def slow_way(harness: Harness, dice: random.Random) -> None:
    way = harness.ways[dice.choice(("workers", "edges"))]
    way.delay_s = dice.uniform(0.02, 0.3)
    await asyncio.sleep(dice.uniform(0.3, 1.5))
    way.delay_s = 0.0


@breaks("way")
async def stall_way(harness: Harness, dice: random.Random) -> None:
    """Nothing gets through for a while, then all of it does."""
    way = harness.ways[dice.choice(("workers", "edges"))]
    way.stalled = True
    await asyncio.sleep(dice.uniform(0.3, 2.5))
    way.stalled = False


@breaks("way")
async def black_hole(harness: Harness, dice: random.Random) -> None:
    """What is sent vanishes, and nobody is told until the connections are given up."""
    way = harness.ways[dice.choice(("workers", "edges"))]
    way.black_hole = True
    await asyncio.sleep(dice.uniform(0.3, 2.5))
    way.cut()
    way.black_hole = False


@breaks("way")
async def deafen_edges(harness: Harness, dice: random.Random) -> None:
    """What is published does not reach the edges, and everything else works."""
    harness.ways["edges"].deaf = True
    await asyncio.sleep(dice.uniform(0.2, 1.5))
    harness.ways["edges"].deaf = False


@breaks("way")
async def cut_way(harness: Harness, dice: random.Random) -> None:
    harness.ways[dice.choice(("workers", "edges"))].cut()


# -- tools


async def _pause(pid: int, for_s: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(for_s)
    os.kill(pid, signal.SIGCONT)


async def _listening(redis: Redis) -> set[str]:
    """The connections that are subscribed to something."""
    return {each["id"] for each in await redis.client_list(_type="pubsub")}
