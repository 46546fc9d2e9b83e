"""What is read for somebody is bounded in bytes, whatever is stored; an odd value fails what it stands under alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.events import Position, position_of
from bridge.journal.calls import RecordMail, Retention
from bridge.journal.errors import JournalSpoilt
from bridge.journal.opened import Opened
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, count, mail

ANN = "ann@gzdev.com"
LARGE = b"x" * 10_000
MOST = 65_536


@pytest.fixture
def reader(redis: Any) -> Reader:
    return Reader(redis, KEYS, history_events=5000, history_s=3600)


@pytest.fixture
async def writer(new_writer: Any) -> Writer:
    writer: Writer = new_writer(retention=Retention(history_events=5000))
    assert await writer.claim() is not None
    return writer


def large(number: int, subject: bytes = LARGE) -> RecordMail:
    record = mail(f"Z{number}", number)
    body = record.event.body.replace("你好".encode(), subject)
    return msgspec.structs.replace(record, event=msgspec.structs.replace(record.event, body=body))


async def asked(redis: Any, command: str) -> int:
    found: int = (await redis.info("commandstats")).get(f"cmdstat_{command}", {}).get("calls", 0)
    return found


async def test_a_history_comes_in_pieces(writer: Writer, reader: Reader) -> None:
    """Each as large as may be, from the last one on, nothing left out and nothing twice; the end is the top."""
    [first, *_] = await writer.commit([large(number) for number in range(1, 41)])
    epoch, after, seen = first.epoch, Position(first.epoch, 0), []
    pieces = 0
    while True:
        [opened] = await reader.open([OpenRequest(BOB, after)])
        assert opened.status == "resumed"
        assert sum(map(len, opened.events)) <= MOST
        if not opened.events:
            break
        pieces += 1
        seen += [position_of(event) for event in opened.events]
        after = seen[-1]
    assert seen == [Position(epoch, number) for number in range(1, 41)]
    assert after == opened.top
    assert 6 <= pieces <= 8


async def test_a_single_event_may_be_larger(writer: Writer, reader: Reader) -> None:
    """Else nobody would ever come past it."""
    [outcome] = await writer.commit([large(1, b"x" * 2 * MOST)])
    [resumed, fresh] = await reader.open([OpenRequest(BOB, Position(outcome.epoch, 0)), OpenRequest(BOB)])
    assert len(resumed.events) == len(fresh.events) == 1


async def test_the_recent_mails_have_the_same_bound(writer: Writer, reader: Reader) -> None:
    """The newest of them, oldest first; who only asks for the count gets none."""
    await writer.commit([large(number) for number in range(1, 41)])
    [fresh, badge] = await reader.open([OpenRequest(BOB), OpenRequest(BOB, mails=False)])
    assert sum(map(len, fresh.events)) <= MOST
    assert [position_of(event).seq for event in fresh.events] == list(range(35, 41))
    assert badge.events == []


async def test_a_count_is_answered_without_a_look_at_the_log(writer: Writer, reader: Reader, redis: Any) -> None:
    """Badges ask often, and would each have read twenty mails for nothing."""
    await writer.commit([large(number) for number in range(1, 6)])
    before = [await asked(redis, command) for command in ("xrevrange", "xrange")]
    assert await reader.unread(BOB) == (BOB, 5, (await reader.open([OpenRequest(BOB, mails=False)]))[0].as_of)
    assert [await asked(redis, command) for command in ("xrevrange", "xrange")] == before


async def test_a_log_of_counts_is_not_read_to_its_end(writer: Writer, reader: Reader, redis: Any) -> None:
    """Looking for mails behind thousands of counts would hold up everybody."""
    await writer.commit([mail("Z1", 1), *(count(number % 2 + 5) for number in range(3000))])
    before = await asked(redis, "xrevrange")
    [opened] = await reader.open([OpenRequest(BOB)])
    assert opened.events == []
    assert await asked(redis, "xrevrange") - before <= 30


async def test_a_page_of_history_is_bounded_and_says_that_there_is_more(writer: Writer, reader: Reader) -> None:
    """Page by page all of it; the newest page is the newest."""
    [first, *_] = await writer.commit([large(number) for number in range(1, 61)])
    after, seen = Position(first.epoch, 0), []
    while True:
        page = await reader.page(BOB, after=after, limit=200)
        assert sum(map(len, page.events)) <= 262_144
        assert page.complete
        seen += [position_of(event).seq for event in page.events]
        after = page.position
        if not page.more:
            break
    assert seen == list(range(1, 61))
    newest = await reader.page(BOB, after=None, limit=200)
    assert position_of(newest.events[-1]).seq == 60
    assert sum(map(len, newest.events)) <= 262_144


async def state_is_a_text(redis: Any) -> None:
    await redis.delete(KEYS.state(BOB))
    await redis.set(KEYS.state(BOB), "x")


async def seq_is_no_number(redis: Any) -> None:
    await redis.hset(KEYS.state(BOB), "seq", "many")


async def unread_is_no_number(redis: Any) -> None:
    await redis.hset(KEYS.state(BOB), "unread", "many")


async def epoch_is_not_text(redis: Any) -> None:
    await redis.hset(KEYS.state(BOB), "epoch", b"\xff\xfe")


async def log_is_a_set(redis: Any) -> None:
    await redis.delete(KEYS.log(BOB))
    await redis.sadd(KEYS.log(BOB), "x")


async def a_ring_of_slaves(redis: Any) -> None:
    await redis.hset(KEYS.slaves, mapping={BOB: "b2@gzdev.com", "b2@gzdev.com": BOB})


async def a_slave_of_itself(redis: Any) -> None:
    await redis.hset(KEYS.slaves, BOB, BOB)


ODD = [
    *(state_is_a_text, seq_is_no_number, unread_is_no_number, epoch_is_not_text),
    *(log_is_a_set, a_ring_of_slaves, a_slave_of_itself),
]


@pytest.mark.parametrize("spoil", ODD)
async def test_an_odd_value_fails_its_own_mailbox_alone(writer: Writer, reader: Reader, redis: Any, spoil: Any) -> None:
    """In one batch with others: they are opened, and it is told as what it is."""
    await writer.commit([mail("Z1")])
    await spoil(redis)
    bob, ann = await reader.open_each([OpenRequest(BOB), OpenRequest(ANN)])
    assert isinstance(bob, JournalSpoilt)
    assert isinstance(ann, Opened)
    with pytest.raises(JournalSpoilt):
        await reader.open([OpenRequest(BOB)])
    if spoil is not log_is_a_set:
        with pytest.raises(JournalSpoilt):
            await reader.unread(BOB)
    tops = await reader.tops([BOB, ANN])
    assert tops[1] == ann.top


@pytest.mark.parametrize("spoil", [log_is_a_set, seq_is_no_number, state_is_a_text, a_ring_of_slaves])
async def test_a_page_of_an_odd_mailbox_is_told_as_that(writer: Writer, reader: Reader, redis: Any, spoil: Any) -> None:
    """No fault of the server, and none of ours."""
    await writer.commit([mail("Z1")])
    await spoil(redis)
    with pytest.raises(JournalSpoilt):
        await reader.page(BOB, after=None, limit=5)


async def test_an_odd_upstream_fails_nobody(writer: Writer, reader: Reader, redis: Any) -> None:
    """It is an unknown one."""
    await redis.hset(KEYS.upstream, mapping={"state": "connected", "since": "long ago", "why": b"\xff"})
    assert (await reader.upstream()).state == "connected"
    [opened] = await reader.open([OpenRequest(BOB)])
    assert opened.upstream.state == "connected"


@pytest.mark.parametrize("key", [KEYS.commits, KEYS.format])
async def test_a_number_that_is_none_is_told_as_that(reader: Reader, redis: Any, key: str) -> None:
    """Not as a defect, which would end the process."""
    await redis.set(key, "many")
    with pytest.raises(JournalSpoilt, match="no number"):
        await (reader.commits() if key == KEYS.commits else reader.check())
