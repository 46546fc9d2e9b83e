"""How far behind the slowest consumer group is: the stream is trimmed whether or not it has read."""

from __future__ import annotations

from typing import Any

from bridge.journal.groups import Groups
from bridge.journal.keys import Keys
from bridge.journal.made import Made
from bridge.journal.writer import Writer

from .conftest import mail

KEYS = Keys("exmail")


async def test_without_a_group_nobody_is_behind(redis: Any, writer: Writer) -> None:
    """Nor where there is no stream, nor one that is empty."""
    groups = Groups(redis, KEYS)
    assert await groups.most_behind() == 0
    await redis.xgroup_create(KEYS.events, "one", "$", mkstream=True)
    assert await groups.most_behind() == 0
    await redis.xgroup_destroy(KEYS.events, "one")
    await writer.commit([mail("1")])
    assert await groups.most_behind() == 0


async def test_what_is_not_taken_and_what_is_not_acknowledged_count(redis: Any, writer: Writer) -> None:
    """The slowest group is told of, and an entry that somebody sits on holds it back; trimming makes nobody faster."""
    groups = Groups(redis, KEYS)
    await redis.xgroup_create(KEYS.events, "slow", "$", mkstream=True)
    await redis.xgroup_create(KEYS.events, "fast", "$")
    await writer.commit([mail("0")])
    [[_, [(first, _)]]] = await redis.xreadgroup("slow", "a", {KEYS.events: ">"}, count=1)
    await writer.commit([mail(str(n)) for n in range(1, 6)])
    [[_, taken]] = await redis.xreadgroup("fast", "a", {KEYS.events: ">"})
    await redis.xack(KEYS.events, "fast", *(id for id, _ in taken))
    assert await groups.most_behind() == 6
    await redis.xack(KEYS.events, "slow", first)
    assert await groups.most_behind() == 5
    await redis.xtrim(KEYS.events, maxlen=1, approximate=False)
    assert await groups.most_behind() == 5
    await redis.xreadgroup("slow", "a", {KEYS.events: ">"})
    assert await groups.most_behind() == 1


async def test_in_a_new_generation_all_of_it_is_new(redis: Any, writer: Writer) -> None:
    """Ids of two generations cannot be counted from one another."""
    await redis.xgroup_create(KEYS.events, "one", "$", mkstream=True)
    await writer.commit([mail(str(n)) for n in range(5)])
    [[_, taken]] = await redis.xreadgroup("one", "a", {KEYS.events: ">"})
    await redis.xack(KEYS.events, "one", *(id for id, _ in taken))
    await writer.begin_generation(Made("count", None, 1))
    await writer.commit([mail("5"), mail("6")])
    assert await Groups(redis, KEYS).most_behind() == 2
