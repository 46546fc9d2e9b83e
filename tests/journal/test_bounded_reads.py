"""What grows with the corporation is read and written in pieces: Redis serves nobody else meanwhile."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.journal.mirror import Mirror
from bridge.journal.owed import MISSING, Owed
from bridge.journal.reader import Reader

from .conftest import KEYS

MANY = 3000
NAMES = [f"u{number}@gzdev.com" for number in range(MANY)]
PIECE = 1200
"""Redis may give somewhat more than the 500 entries that are asked for."""
FIELDS = ("directory", "slaves", "directory_next", "slaves_next")


async def fill(redis: Any) -> None:
    for key in FIELDS:
        await redis.hset(getattr(KEYS, key), mapping={name: f'{{"alias":"{name}"}}' for name in NAMES})
    await redis.hset(KEYS.owed, mapping={name: Owed(1, MISSING).as_json() for name in NAMES})
    await redis.sadd(KEYS.barred, *NAMES)
    await redis.zadd(KEYS.doubted, dict.fromkeys(NAMES, 5))
    await redis.zadd(KEYS.online, dict.fromkeys(NAMES, time.time() + 3600))
    await redis.zadd(KEYS.online, {"away@gzdev.com": time.time() - 3600})


async def calls(redis: Any) -> dict[str, int]:
    """How often each command was called since the last look."""
    stats = await redis.info("commandstats")
    await redis.config_resetstat()
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


async def staged(mirror: Mirror) -> set[str]:
    return (await mirror.staged())[1]


@pytest.mark.parametrize(
    "read",
    [
        *(Mirror.aliases, Mirror.everybody, Mirror.slaves, Mirror.staged_slaves, staged),
        *(Mirror.barred, Mirror.owed, Mirror.doubted, Mirror.online),
        lambda mirror: mirror.profiles(NAMES),
    ],
    ids=[
        "aliases",
        "everybody",
        "slaves",
        "staged_slaves",
        "staged",
        "barred",
        "owed",
        "doubted",
        "online",
        "profiles",
    ],
)
async def test_no_call_reads_all(redis: Any, mirror: Mirror, read: Callable[[Mirror], Awaitable[Any]]) -> None:
    """Everything is found, by calls that each ask for some hundred entries."""
    await fill(redis)
    await calls(redis)
    assert len(await read(mirror)) == MANY
    made = await calls(redis)
    assert made.keys() <= {"hscan", "sscan", "zscan", "hmget", "get", "time", "info", "config|resetstat"}
    assert sum(made.get(name, 0) for name in ("hscan", "sscan", "zscan", "hmget")) >= MANY / PIECE


async def test_wanted_mailboxes_are_taken_once_each_by_calls_that_look_at_a_part(redis: Any, mirror: Mirror) -> None:
    """SPOP looks for random entries, which takes long in a set that was large and is nearly empty."""
    await redis.sadd(KEYS.wanted, *NAMES)
    await calls(redis)
    taken: list[str] = []
    while await redis.exists(KEYS.wanted):
        found = await mirror.take_wanted(700)
        assert len(found) <= 700
        taken += found
    assert sorted(taken) == sorted(NAMES)
    assert (await calls(redis)).keys() <= {"sscan", "srem", "exists", "info", "config|resetstat"}
    assert await mirror.take_wanted(700) == []


async def test_who_is_on_line_is_entered_in_pieces(redis: Any, reader: Reader) -> None:
    """All are entered, until the same moment."""
    await calls(redis)
    await reader.mark_online(NAMES, for_s=90)
    assert (await calls(redis))["zadd"] >= MANY / PIECE
    entered = await redis.zrange(KEYS.online, 0, -1, withscores=True)
    assert len(entered) == MANY
    assert len({until_s for _, until_s in entered}) == 1
