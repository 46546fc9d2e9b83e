"""A mailbox of which something else than the bridge wrote what is stored, as an edge may that somebody took over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.events import DIRECTORY
from bridge.journal.canary import Canary
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, announcement, count, mail, poll

ANN = "ann@gzdev.com"
POSITIONS: list[dict[str, str]] = [
    {"seq": "odd"},
    {"seq": "1e300"},
    {"seq": "nan"},
    {"seq": "-1"},
    {"epoch": 'a","b":"'},
    {"epoch": 'a","b":1'},
    {"epoch": ""},
    {"generation": "odd"},
    {"generation": "odd", "base": "odd"},
    {"generation": "odd", "unread": "odd"},
]
COUNTS: list[dict[str, str]] = [
    {"unread": "odd"},
    {"unread": ""},
    {"unread": "0x10"},
    {"as_of": "9e99"},
    {"as_of": "0x7fffffffffff"},
    {"as_of": '99999999999999,"x":0'},
    {"as_of": "999999999999999"},
    {"as_of": "nan"},
    {"unread": "nan"},
    {"unread": "1e999"},
    {"unread": "-1e300"},
    {"base": "nan"},
    {"base": "1", "base_at": "1e999"},
    {"base": "1", "base_at": "999999999999999"},
    {"base": "1", "base_at": "nan"},
    {"base": "1", "news": "-1e300"},
    {"base": "odd"},
    {"base": "1", "news": "odd"},
    {"base": "1", "base_at": "odd"},
]


async def events(redis: Any) -> list[Any]:
    """The stream of all events, which other services read: it has nothing but JSON of ours."""
    return [json.loads(fields[b"event"]) for _, fields in await redis.xrange(KEYS.events)]


@pytest.mark.parametrize("fields", [*POSITIONS, *COUNTS], ids=str)
async def test_mails_are_recorded_whatever_is_stored(writer: Writer, redis: Any, fields: dict[str, str]) -> None:
    """Those of others with it; a mailbox without a position begins anew, and what is stored then is the bridge's."""
    await writer.commit([mail("Z1", 3), mail("Z1", 3, ANN)])
    await redis.hset(KEYS.state(BOB), mapping=fields)
    first, other = await writer.commit([mail("Z2", 4), mail("Z2", 4, ANN)])
    assert (first.seq, other.seq) == (1 if fields in POSITIONS else 2, 2)
    again, _ = await writer.commit([mail("Z3", 5), count(7)])
    assert (again.epoch, again.seq) == (first.epoch, first.seq + 1)
    told = await events(redis)
    assert [event["data"]["unread"] for event in told if event["subject"] == BOB] == [3, 4, 5, 7]
    # No later than a day from now, whatever is stored.
    seconds, _ = await redis.time()
    assert all(event["data"]["as_of"] < (seconds + 86_400) * 1000 for event in told)
    assert {tuple(event) for event in told} == {tuple(told[0])}


@pytest.mark.parametrize("fields", [*POSITIONS, *COUNTS], ids=str)
async def test_its_count_is_asked_for_and_put_right(
    writer: Writer, redis: Any, mirror: Mirror, fields: dict[str, str]
) -> None:
    """Whoever asks reads it as the script does, or the answer would be refused again and again."""
    await writer.commit([mail("Z1", 3)])
    await redis.hset(KEYS.state(BOB), mapping=fields)
    [stored], _ = await mirror.counted([BOB])
    [outcome] = await writer.commit([poll(8, stored.seq)])
    assert outcome.result == "published"
    [seconds, _] = await redis.time()
    # What it doubts, as after any count that rises by more than was pushed, is settled by the next answer.
    [stored], _ = await mirror.counted([BOB])
    await writer.commit([poll(8, stored.seq, sure=True)])
    [stored], _ = await mirror.counted([BOB])
    assert (stored.unread, stored.doubtful) == (8, False)
    missed = [event["data"] for event in await events(redis) if event["type"] == "exmail.mail.missed"]
    assert all(
        0 <= data["since"] <= data["until"] < (seconds + 86_400) * 1000 and data["at_least"] <= 8 for data in missed
    )


async def test_a_history_of_another_type_is_begun_anew(writer: Writer, redis: Any) -> None:
    """The mailbox goes on where it was."""
    await writer.commit([mail("Z1")])
    await redis.delete(KEYS.log(BOB))
    await redis.hset(KEYS.log(BOB), "odd", "odd")
    [outcome] = await writer.commit([mail("Z2")])
    assert outcome.seq == 2
    assert await redis.xlen(KEYS.log(BOB)) == 1


async def test_a_history_that_goes_on_elsewhere_is_begun_anew(writer: Writer, redis: Any) -> None:
    """Its ids are positions, and the next one is not among them."""
    await writer.commit([mail("Z1")])
    await redis.xadd(KEYS.log(BOB), {"event": "odd"}, id="9-0")
    [outcome] = await writer.commit([mail("Z2")])
    assert outcome.seq == 2
    assert [id for id, _ in await redis.xrange(KEYS.log(BOB))] == [b"2-0"]


@pytest.mark.parametrize("stream", ["system", "canary"])
async def test_what_concerns_no_mailbox_is_told_too(writer: Writer, redis: Any, stream: str) -> None:
    """An edge can write there as well."""
    await redis.hset(KEYS.state(stream), mapping={"generation": str(writer.generation), "epoch": 'a"', "seq": "odd"})
    await writer.commit([announcement()])
    await Canary(writer, KEYS).sing("x", at_s=1)
    assert (await redis.hget(KEYS.state(stream), "seq")) == b"1"


async def test_only_what_can_be_a_mailbox_is_asked_for(mirror: Mirror, redis: Any) -> None:
    """Of those that edges enter: who is on line, and whose count is wanted."""
    odd = (b"\xff", b" ", b"", b"odd", b"BOB@gzdev.com", b"a@b@c", b"x" * 5000 + b"@gzdev.com")
    await redis.sadd(KEYS.wanted, BOB, *odd)
    await redis.zadd(KEYS.online, dict.fromkeys((BOB, *odd), 4000000000.0))
    assert await mirror.take_wanted(100) == [BOB]
    assert not await redis.exists(KEYS.wanted)
    assert await mirror.online() == [BOB]


async def test_what_was_left_where_writing_is_tried_keeps_nobody_from_it(reader: Reader, redis: Any) -> None:
    """Every program does that at its start, and again and again; an edge can write there at any time."""
    await redis.xadd(KEYS.probe, {"odd": "odd"}, id="9-9")
    await reader.try_write()
    await redis.set(KEYS.probe, "odd")
    await reader.try_write()
    assert not await redis.exists(KEYS.probe)


@pytest.mark.parametrize("key", [KEYS.directory, KEYS.slaves, KEYS.owed, KEYS.directory_next, KEYS.slaves_next])
async def test_a_name_that_is_no_text_is_nobody_s(mirror: Mirror, redis: Any, key: str) -> None:
    """A leader that starts reads all of them."""
    await redis.hset(key, mapping={b"\xff": b"\xff"})
    assert await mirror.aliases() == set()
    assert await mirror.everybody() == {}
    assert await mirror.owed() == {}
    assert await mirror.staged() == ("", set())
    assert await mirror.staged_slaves() == {}
    await redis.zadd(KEYS.doubted, {b"\xff": 1})
    await redis.xadd(KEYS.events, {"event": "{}", "mailbox": b"\xff"})
    assert len(await mirror.doubted()) == 1
    assert await mirror.active() == []


async def test_a_history_that_is_none_has_no_entries(mirror: Mirror, redis: Any) -> None:
    """Of whom an operator has the bridge forget; an edge can make it another thing."""
    await redis.hset(KEYS.log(DIRECTORY), "odd", "odd")
    assert await mirror.entries_of("log", [BOB]) == []
