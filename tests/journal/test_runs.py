"""Runs of the script: many mails and counts in one, and what that may not change."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY

import orjson
import pytest

from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, announcement, count, mail

STATE, SEEN = KEYS.state(BOB), KEYS.seen(BOB)


async def events(redis: Any) -> list[dict[str, Any]]:
    return [orjson.loads(fields[b"event"]) for _, fields in await redis.xrange(KEYS.events)]


async def test_many_calls_are_one_run_and_one_stamp(redis: Any, writer: Writer) -> None:
    """What is done once for all of them is done once; each mailbox has its own numbers."""
    await redis.config_resetstat()
    outcomes = await writer.commit([mail(f"Z{number}", number, f"u{number % 3}@gzdev.com") for number in range(12)])
    assert [outcome.seq for outcome in outcomes] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert len({outcome.epoch for outcome in outcomes}) == 3
    stats = await redis.info("commandstats")
    once = {name: stats[f"cmdstat_{name}"]["calls"] for name in ("mget", "time", "set")}
    assert once == {"mget": 1, "time": 1, "set": 1}
    assert len({event["data"]["as_of"] for event in await events(redis)}) == 1
    assert int(await redis.get(KEYS.commits)) == 12


async def test_a_run_has_a_bound_and_every_call_its_turn(redis: Any, writer: Writer) -> None:
    """Sixty-four calls, or so many bytes; other calls have a run of their own between them."""
    long = "x" * 2000
    calls = [mail(f"Z{number}", number) for number in range(130)]
    calls += [mail(f"{long}{number}", number) for number in range(70)]
    await writer.commit([mail("Y")])
    await redis.config_resetstat()
    outcomes = await writer.commit([*calls, announcement(), count(9)])
    assert [outcome.seq for outcome in outcomes] == [*range(2, 202), 1, 202]
    # 64, 64, and two with the first of the long ones; what is left of those; the announcement; the count.
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == 3 + 1 + 2
    assert int(await redis.get(KEYS.commits)) == 203


async def test_of_a_run_that_is_there_in_part_the_rest_is_applied(redis: Any, writer: Writer) -> None:
    """Calls before the first new one are not looked at again."""
    await writer.commit([mail("", 1), mail("", 2)])
    writer._confirmed -= 1
    outcomes = await writer.commit([mail("", 2), count(3), mail("", 4)])
    assert [outcome.result for outcome in outcomes] == ["again", "published", "published"]
    assert [event["data"]["unread"] for event in await events(redis)] == [1, 2, 3, 4]


@pytest.mark.parametrize("spoilt", [STATE, SEEN])
async def test_what_a_run_did_before_it_failed_is_counted(redis: Any, writer: Writer, spoilt: str) -> None:
    """Redis does not roll back: the number of a call that was published is used up, and what comes after the one that
    failed has not happened. It is sent again when the key is no more."""
    await writer.commit([count(1)])
    await redis.delete(spoilt)
    await redis.set(spoilt, "of another type")
    outcomes = await writer.commit([mail("Z1", 1, "ann@gzdev.com"), mail("Z2", 2), mail("Z3", 3, "cat@gzdev.com")])
    assert [outcome.result for outcome in outcomes] == ["again", "published", "published"]
    published = [event["data"]["mailbox"] for event in await events(redis)]
    assert published == [BOB, "ann@gzdev.com", BOB, "cat@gzdev.com"]


async def test_a_full_server_applies_a_run_whole_or_not_at_all(redis: Any, new_writer: Any) -> None:
    """It looks at its memory when a run begins to write, and not again: what was refused was not applied, and is sent
    again when there is room."""
    sent: list[int] = []

    async def room(_seconds: float) -> None:
        sent.append(writer._sent)
        assert len(await events(redis)) == 1
        await redis.config_set("maxmemory", 0)

    writer: Writer = new_writer(pause=room)
    await writer.claim()
    await writer.commit([mail("Z0")])
    await redis.config_set("maxmemory", 1)
    outcomes = await writer.commit([mail(f"Z{number}") for number in range(1, 9)])
    assert [outcome.seq for outcome in outcomes] == list(range(2, 10))
    # Nothing was sent that can be missing: on another server nothing follows from it.
    assert sent == [1]


async def test_a_full_server_costs_no_history(redis: Any, new_writer: Any) -> None:
    """A count whose event is the first thing to be written is refused like a mail; what was kept stays."""

    async def room(_seconds: float) -> None:
        assert await redis.xlen(KEYS.log(BOB)) == 3
        await redis.config_set("maxmemory", 0)

    writer: Writer = new_writer(pause=room)
    await writer.claim()
    await writer.commit([count(1), count(2), count(3)])
    await redis.config_set("maxmemory", 1)
    [outcome] = await writer.commit([count(9)])
    assert outcome.seq == 4
    assert await redis.xlen(KEYS.log(BOB)) == 4


async def test_a_batch_that_was_refused_in_part_was_sent_so_far(redis: Any, new_writer: Any) -> None:
    """Calls, not runs, are counted."""
    sent: list[int] = []

    async def room(_seconds: float) -> None:
        sent.append(writer._sent)
        await redis.config_set("maxmemory", 0)

    writer: Writer = new_writer(pause=room, together=3)
    await writer.claim()
    used = (await redis.info("memory"))["used_memory"]
    await redis.config_set("maxmemory", used + 100_000)
    outcomes = await writer.commit([mail("x" * 30_000 + str(number), number) for number in range(9)])
    assert [outcome.result for outcome in outcomes] == ["again"] * sent[0] + ["published"] * (9 - sent[0])
    assert sent[0] in (3, 6)
    assert int(await redis.get(KEYS.commits)) == 9


async def test_a_count_is_stored_with_the_gap_that_it_came_after(redis: Any, writer: Writer) -> None:
    """Also where it follows mails without a count, which leave nothing to compare it with; what is as it was is not
    stored again."""
    await writer.commit([mail("Z1", None), mail("Z2", None), count(3)])
    assert await redis.hgetall(STATE) == {
        b"generation": await redis.get(KEYS.generation),
        b"epoch": ANY,
        b"seq": b"3",
        b"unread": b"3",
        b"as_of": ANY,
        b"gap": b"0",
    }
