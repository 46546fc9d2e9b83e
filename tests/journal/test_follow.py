"""Following ``{ns}:events``: everything from a place on, in order, once, and every hole is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge.events import MAIL_NEW, build_event
from bridge.journal.calls import RecordMail
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import FormatTooNew, JournalAway
from bridge.journal.follow import BEGINNING, Followed, Follower, StreamId, gap_between, parse_stream_id
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S

KEYS = Keys("exmail")


def mail(mail_id: str, time_s: float | None = None) -> RecordMail:
    data = {"mailbox": "bob@gzdev.com", "mail_id": mail_id, "unread": 1}
    event = build_event(
        namespace="exmail", stream="bob@gzdev.com", type=MAIL_NEW, time_s=time_s or time.time(), data=data, stamped=True
    )
    return RecordMail(event, mail_id, 1, event)


@pytest.fixture
async def follower(redis_url: str) -> AsyncIterator[Follower]:
    async with Follower(RedisAddress(redis_url), KEYS, block_s=PATIENCE_S) as follower:
        yield follower


def mail_ids(entries: list[Followed]) -> list[str]:
    return [entry.event.split(b'"mail_id":"')[1].split(b'"')[0].decode() for entry in entries]


async def test_without_a_place_only_what_comes_is_read(follower: Follower, writer: Writer):
    """A reader that names no place is given nothing old, and what comes while it waits."""
    await writer.commit([mail("old")])
    await follower.start()
    reading = asyncio.create_task(follower.read())
    await writer.commit([mail("new")])
    entries = await reading
    assert mail_ids(entries) == ["new"]
    assert entries[0].type == MAIL_NEW
    assert entries[0].gap is None


async def test_the_first_event_of_all_is_no_gap(follower: Follower, writer: Writer):
    """On an empty Redis the reader begins before everything, and misses nothing of it."""
    await follower.start()
    await writer.commit([mail("1"), mail("2")])
    entries = await follower.read()
    assert mail_ids(entries) == ["1", "2"]
    assert [entry.gap for entry in entries] == [None, None]


async def test_a_kept_id_continues_without_loss_or_repetition(redis_url: str, follower: Follower, writer: Writer):
    """What one reader read last, another starts after."""
    await follower.start(BEGINNING)
    await writer.commit([mail("1"), mail("2"), mail("3")])
    first = await follower.read()
    async with Follower(RedisAddress(redis_url), KEYS) as another:
        await another.start(first[1].id)
        assert mail_ids(await another.read()) == ["3"]
        assert another.last == follower.last


async def test_since_a_time_begins_after_the_newest_older_event(follower: Follower, writer: Writer):
    """A duration counts by the events' own time, over any number of entries."""
    await writer.commit([mail(f"old-{n}", time_s=1000.0) for n in range(600)])
    await writer.commit([mail(f"new-{n}", time_s=2000.0) for n in range(700)])
    await follower.start(1500.0)
    entries = await follower.read() + await follower.read()
    assert mail_ids(entries) == [f"new-{n}" for n in range(700)]
    assert not any(entry.gap for entry in entries)


async def test_since_a_time_before_everything_reads_everything(follower: Follower, writer: Writer):
    """A duration that reaches back further than the stream begins at its beginning."""
    await writer.commit([mail("1"), mail("2")])
    await follower.start(1.0)
    assert mail_ids(await follower.read()) == ["1", "2"]


async def test_what_was_trimmed_is_named(redis: Any, follower: Follower, writer: Writer):
    """Redis skips a trimmed stretch without a word; the reader says how much is gone."""
    await writer.commit([mail(str(n)) for n in range(10)])
    [(first, _)] = await redis.xrange(KEYS.events, count=1)
    await redis.xtrim(KEYS.events, maxlen=3, approximate=False)
    await follower.start(parse_stream_id(first.decode()))
    entries = await follower.read()
    assert mail_ids(entries) == ["7", "8", "9"]
    assert entries[0].gap == "6 events are gone: the stream was trimmed, or somebody was forgotten"
    assert [entry.gap for entry in entries[1:]] == [None, None]


async def test_a_new_generation_is_named(redis: Any, follower: Follower, new_writer: Callable[..., Writer]):
    """After Redis went back the reader goes on, and says that something may be gone."""
    before = new_writer()
    await before.claim()
    await before.commit([mail("1")])
    await follower.start(BEGINNING)
    await follower.read()
    await redis.flushall()
    after = new_writer()
    await after.claim()
    await after.commit([mail("2")])
    [entry] = await follower.read()
    assert mail_ids([entry]) == ["2"]
    assert "generation" in (entry.gap or "")


async def test_a_quiet_stream_gives_an_empty_list(redis_url: str, writer: Writer):
    """Nothing for the whole wait is an answer, no fault."""
    async with Follower(RedisAddress(redis_url), KEYS, block_s=0.02) as follower:
        await follower.start()
        assert await follower.read() == []


async def test_a_restart_of_redis_loses_nothing(own_server: EmbeddedServer):
    """While Redis is away a read fails; afterwards it goes on where it was."""
    address = RedisAddress(own_server.url)
    redis = address.client()
    async with Follower(address, KEYS) as follower:
        await redis.xadd(KEYS.events, {"event": b'{"mail_id":"1"}', "type": MAIL_NEW}, "5-0")
        await follower.start(BEGINNING)
        assert mail_ids(await follower.read()) == ["1"]
        await redis.aclose()
        own_server.restart()
        redis = address.client()
        try:
            entries = await follower.read()
        except JournalAway:
            entries = []
        assert entries == []
        await redis.xadd(KEYS.events, {"event": b'{"mail_id":"2"}', "type": MAIL_NEW}, "5-1")
        [entry] = await follower.read()
        assert (mail_ids([entry]), entry.gap) == (["2"], None)
        await redis.aclose()


async def test_a_newer_layout_is_refused(redis: Any, follower: Follower):
    """What a newer program wrote is not guessed at."""
    await redis.set(KEYS.format, 99)
    with pytest.raises(FormatTooNew):
        await follower.start()


@pytest.mark.parametrize(
    ("last", "next", "said"),
    [
        (BEGINNING, StreamId(7, 0), None),
        (BEGINNING, StreamId(7, 3), "3 older"),
        (StreamId(7, 3), StreamId(7, 4), None),
        (StreamId(7, 3), StreamId(7, 6), "2 events"),
        (StreamId(7, 3), StreamId(8, 0), "generation"),
    ],
)
def test_gaps_are_counted(last: StreamId, next: StreamId, said: str | None):
    """``n`` has no hole within a generation; a new generation is a gap of unknown size."""
    found = gap_between(last, next)
    assert (said in found) if said and found else found is said


@pytest.mark.parametrize("text", ["", "7", "-", "7-", "-7", "7-1-2", "७-1", "a-1", "1" * 16 + "-1"])
def test_what_is_no_id_is_not_read_as_one(text: str):
    """Only ``digits-digits`` is a place."""
    assert parse_stream_id(text) is None
    assert parse_stream_id("17-42") == StreamId(17, 42)
