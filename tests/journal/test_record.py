"""``record``: one mail or count, each branch of the script against a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from bridge.events import Position, position_of
from bridge.journal.calls import Retention
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S

from .conftest import BOB, KEYS, count, mail, poll

LOG, STATE, SEEN = KEYS.log(BOB), KEYS.state(BOB), KEYS.seen(BOB)


async def events(redis: Any) -> list[dict[str, Any]]:
    return [orjson.loads(fields[b"event"]) for _, fields in await redis.xrange(KEYS.events)]


async def test_mail_is_event_history_count_and_wake_up_in_one_step(redis: Any, writer: Writer) -> None:
    """One mail: the same bytes in the log, in events and on both channels; the count and the MailId kept."""
    pubsub = redis.pubsub()
    await pubsub.subscribe(KEYS.mailbox_channel(BOB), KEYS.kind_channel("mail.new"))
    for _ in range(2):
        await pubsub.get_message(timeout=PATIENCE_S)
    [outcome] = await writer.commit([mail("Z1", 549)])
    assert (outcome.result, outcome.seq) == ("published", 1)
    [(entry_id, fields)] = await redis.xrange(LOG)
    assert entry_id == b"1-0"
    event = fields[b"event"]
    parsed = orjson.loads(event)
    assert list(parsed)[:3] == ["specversion", "id", "sequence"]
    assert parsed["id"] == f"{outcome.epoch}-1"
    assert parsed["sequence"] == "0000000000000001"
    assert parsed["data"]["unread"] == 549
    assert parsed["data"]["mail_subject"] == "你好"
    state = await redis.hgetall(STATE)
    assert state[b"unread"] == b"549"
    assert int(state[b"as_of"]) == parsed["data"]["as_of"]
    [(events_id, kept)] = await redis.xrange(KEYS.events)
    assert kept == {b"event": event, b"type": b"exmail.mail.new", b"mailbox": BOB.encode()}
    assert events_id == f"{writer.generation}-0".encode()
    heard = [await pubsub.get_message(timeout=PATIENCE_S) for _ in range(2)]
    assert {message["channel"].decode(): message["data"] for message in heard} == {
        "exmail:mailbox:bob@gzdev.com": event,
        "exmail:mail.new": event,
    }
    assert await redis.zrange(SEEN, 0, -1) == [b"Z1"]
    await pubsub.aclose()


async def test_a_mail_is_published_once(redis: Any, writer: Writer) -> None:
    """The same MailId again publishes nothing when its count is no news."""
    outcomes = await writer.commit([mail("Z1", 5), mail("Z1", 5)])
    assert [outcome.result for outcome in outcomes] == ["published", "duplicate"]
    assert len(await events(redis)) == 1


async def test_the_count_of_a_refused_duplicate_still_counts(redis: Any, writer: Writer) -> None:
    """A duplicate whose count differs becomes a mail.unread."""
    outcomes = await writer.commit([mail("Z1", 5), mail("Z1", 4)])
    assert [outcome.result for outcome in outcomes] == ["published", "published"]
    published = await events(redis)
    assert [event["type"] for event in published] == ["exmail.mail.new", "exmail.mail.unread"]
    assert published[1]["data"]["unread"] == 4
    assert await redis.hget(STATE, "unread") == b"4"


async def test_a_duplicate_without_a_count_is_refused(redis: Any, writer: Writer) -> None:
    """No count, no news: nothing is published and the stored count stays."""
    outcomes = await writer.commit([mail("Z1", 5), mail("Z1", None)])
    assert outcomes[1].result == "duplicate"
    assert await redis.hget(STATE, "unread") == b"5"


@pytest.mark.parametrize(("unread", "is_fresh"), [(5, True), (None, False)])
async def test_a_duplicate_makes_the_count_that_it_brings_fresh(
    redis: Any, writer: Writer, unread: int | None, is_fresh: bool
) -> None:
    """One that brings none says nothing of it."""
    await writer.commit([mail("Z1", 5)])
    await redis.hset(STATE, "as_of", 1)
    [outcome] = await writer.commit([mail("Z1", unread)])
    assert outcome.result == "duplicate"
    assert (int(await redis.hget(STATE, "as_of")) > 1) == is_fresh


async def test_an_empty_mail_id_is_never_deduplicated(redis: Any, writer: Writer) -> None:
    """Two mails without an id are two mails."""
    outcomes = await writer.commit([mail("", 1), mail("", 1)])
    assert [outcome.result for outcome in outcomes] == ["published", "published"]
    assert not await redis.exists(SEEN)


async def test_one_mail_id_in_two_mailboxes_is_two_events(writer: Writer) -> None:
    """A mail to several recipients is an event for each of them."""
    outcomes = await writer.commit([mail("Z1", 1), mail("Z1", 1, "ann@gzdev.com")])
    assert [(outcome.result, outcome.seq) for outcome in outcomes] == [("published", 1), ("published", 1)]


async def test_a_mail_without_a_count_leaves_the_count(redis: Any, writer: Writer) -> None:
    """Unknown is not zero."""
    await writer.commit([count(7), mail("Z1", None)])
    assert await redis.hget(STATE, "unread") == b"7"
    assert (await events(redis))[1]["data"]["unread"] is None


async def test_a_mail_id_older_than_seven_days_is_forgotten(redis: Any, writer: Writer) -> None:
    """De-duplication has a length."""
    await writer.commit([mail("Z1")])
    seven_days_ago = int(await redis.zscore(SEEN, "Z1")) - 7 * 86_400_000 - 1
    await redis.zadd(SEEN, {"Z1": seven_days_ago, "Z0": seven_days_ago})
    [outcome] = await writer.commit([mail("Z1")])
    assert outcome.result == "published"
    # What nobody asks for any more goes at every sixteenth event of the mailbox.
    await writer.commit([count(number) for number in range(2, 15)])
    assert await redis.zrange(SEEN, 0, -1) == [b"Z0", b"Z1"]
    await writer.commit([count(15)])
    assert await redis.zrange(SEEN, 0, -1) == [b"Z1"]


async def test_what_was_seen_lasts_seven_days_after_the_last_mail(redis: Any, writer: Writer) -> None:
    """A mailbox that gets no more mail leaves nothing behind."""
    await writer.commit([mail("Z1")])
    assert 0 < await redis.pttl(SEEN) <= 7 * 86_400_000
    await redis.pexpire(SEEN, 60_000)
    await writer.commit([mail("Z2")])
    assert await redis.pttl(SEEN) > 6 * 86_400_000


async def test_seen_keeps_the_thousand_newest(redis: Any, writer: Writer) -> None:
    """At most 1,000 MailIds a mailbox, and hardly fewer: the oldest of them go at every sixteenth event."""
    found = []
    for first in range(0, 1104, 16):
        await writer.commit([mail(f"Z{number}") for number in range(first, first + 15)])
        found.append(await redis.zcard(SEEN))
        await writer.commit([mail(f"Z{first + 15}")])
        found.append(await redis.zcard(SEEN))
    assert max(found) == 1000
    assert found[-1] == 985
    assert await redis.zscore(SEEN, "Z1103") is not None
    assert await redis.zscore(SEEN, "Z0") is None


async def test_a_pushed_count_that_is_no_news_publishes_nothing(redis: Any, writer: Writer) -> None:
    """The stored count again: unchanged, but as fresh as the push."""
    await writer.commit([count(3)])
    await redis.hset(STATE, "as_of", 1)
    [outcome] = await writer.commit([count(3)])
    assert outcome.result == "unchanged"
    assert int(await redis.hget(STATE, "as_of")) > 1
    assert len(await events(redis)) == 1


async def test_as_of_never_goes_back(redis: Any, writer: Writer) -> None:
    """Redis's clock may be set back, by up to a day; the stamp is not."""
    await writer.commit([count(3)])
    seconds, _ = await redis.time()
    later = (seconds + 80_000) * 1000
    await redis.hset(STATE, "as_of", later)
    await writer.commit([count(4)])
    assert (await events(redis))[1]["data"]["as_of"] == later


async def test_a_polled_count_applies_only_if_nothing_was_pushed_meanwhile(redis: Any, writer: Writer) -> None:
    """The question was sent at seq 1; a push made it 2; the answer is the older one."""
    await writer.commit([count(3)])
    await writer.commit([count(4)])
    [outcome] = await writer.commit([poll(3, asked_at=1)])
    assert (outcome.result, outcome.seq) == ("moved", 2)
    assert await redis.hget(STATE, "unread") == b"4"
    [outcome] = await writer.commit([poll(9, asked_at=2)])
    assert outcome.result == "published"
    assert (await events(redis))[-1]["data"]["reason"] == "reconcile"


async def test_a_polled_count_that_confirms_publishes_nothing(writer: Writer) -> None:
    """Right already."""
    await writer.commit([count(3)])
    [outcome] = await writer.commit([poll(3, asked_at=1)])
    assert outcome.result == "unchanged"


async def test_a_poll_of_an_unknown_mailbox_begins_its_stream(writer: Writer, reader: Reader) -> None:
    """Seq 0 is a place like any other."""
    [outcome] = await writer.commit([poll(3, asked_at=0)])
    assert (outcome.result, outcome.seq) == ("published", 1)
    [opened] = await reader.open([OpenRequest(BOB)])
    assert opened.unread == 3


async def test_history_is_trimmed_exactly_and_expires_as_a_whole(redis: Any, writer: Writer) -> None:
    """The newest five are kept, and all of them for an hour after the last."""
    await writer.commit([mail(f"Z{number}") for number in range(8)])
    assert [entry_id for entry_id, _ in await redis.xrange(LOG)] == [f"{seq}-0".encode() for seq in range(4, 9)]
    assert 0 < await redis.pttl(LOG) <= 86_400_000
    assert await redis.ttl(STATE) == -1


async def test_events_has_no_holes_across_mailboxes(redis: Any, writer: Writer) -> None:
    """``<generation>-<n>``, n = 0, 1, 2 … whatever the mailbox."""
    await writer.commit([mail("Z1"), mail("Z1"), count(9, "ann@gzdev.com"), mail("Z2")])
    ids = [entry_id.decode() for entry_id, _ in await redis.xrange(KEYS.events)]
    assert ids == [f"{writer.generation}-{number}" for number in range(3)]


async def test_events_stream_is_bounded(redis: Any, new_writer: Any) -> None:
    """The stream of all events is trimmed near its bound."""
    writer = new_writer(retention=Retention(events_max=10))
    await writer.claim()
    await writer.commit([mail(f"Z{number}") for number in range(400)])
    assert await redis.xlen(KEYS.events) <= 110


async def test_large_numbers_stay_whole(redis: Any, writer: Writer) -> None:
    """Lua writes 1e+14 if it may."""
    await writer.commit([mail("Z1")])
    await redis.hset(STATE, "seq", 123_456_789_012_345)
    await redis.delete(LOG)
    [outcome] = await writer.commit([mail("Z2", 2**40)])
    [(entry_id, fields)] = await redis.xrange(LOG)
    assert entry_id == b"123456789012346-0"
    assert str(position_of(fields[b"event"])) == f"{outcome.epoch}-123456789012346"
    assert orjson.loads(fields[b"event"])["sequence"] == "0123456789012346"


async def test_a_call_that_was_sent_twice_applies_once(redis: Any, writer: Writer) -> None:
    """The answer was lost: the same numbers again change nothing."""
    await writer.commit([mail("", 1), mail("", 2)])
    writer._confirmed -= 2
    outcomes = await writer.commit([mail("", 1), mail("", 2)])
    assert [outcome.result for outcome in outcomes] == ["again", "again"]
    assert len(await events(redis)) == 2


async def test_without_the_lease_nothing_is_written(redis: Any, writer: Writer, new_writer: Any) -> None:
    """Another leads: refused whole, the deposed writer is told."""
    from bridge.journal.errors import LeaseLost

    await redis.delete(KEYS.lease)
    other = new_writer()
    await other.claim()
    with pytest.raises(LeaseLost):
        await writer.commit([mail("Z1")])
    assert await redis.xlen(KEYS.events) == 0


async def test_a_lease_that_merely_ran_out_is_claimed_again(redis: Any, writer: Writer) -> None:
    """Nobody led in between: the same batch is committed under the next fence."""
    await redis.delete(KEYS.lease)
    [outcome] = await writer.commit([mail("Z1")])
    assert outcome.result == "published"
    assert writer.fence == 2


async def test_nobody_who_is_cancelled_leaves_a_number_open(writer: Writer) -> None:
    """A commit that was begun is seen through; the next one does not take its number."""
    first = asyncio.ensure_future(writer.commit([mail("Z1")]))
    await asyncio.sleep(0)
    first.cancel()
    [outcome] = await writer.commit([mail("Z2")])
    assert (outcome.result, outcome.seq) == ("published", 2)


async def test_open_gives_the_position_to_go_on_from(writer: Writer, reader: Reader) -> None:
    """What record numbered, open resumes over."""
    [one, _] = await writer.commit([mail("Z1"), mail("Z2")])
    [opened] = await reader.open([OpenRequest(BOB, Position(one.epoch, 1))])
    assert opened.status == "resumed"
    assert [position_of(event).seq for event in opened.events] == [2]
