"""``exmail.mail.missed``: what the count that is asked for after a gap tells; each branch of the script."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.journal.mirror import Mirror
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Outcome, Writer
from tests.support.waiting import PATIENCE_S

from .conftest import BOB, KEYS, announcement, count, mail, poll

STATE = KEYS.state(BOB)
_KINDS = ("exmail.mail.new", "exmail.mail.unread", "exmail.mail.missed")


@pytest.fixture(autouse=True)
async def five_unread(writer: Writer) -> None:
    """Bob has five unread mails before anything happens."""
    await writer.commit([count(5)])


async def gap(redis: Any, writer: Writer) -> None:
    """Nobody listened for a while, later than what was counted before."""
    await redis.hset(STATE, "as_of", 4000)
    await writer.commit([announcement("exmail.upstream.missed", gap="+1")])


async def told(redis: Any) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of Bob's events but the first, without what is the same in all."""
    events = [orjson.loads(fields[b"event"]) for _, fields in await redis.xrange(KEYS.log(BOB))]
    assert [event["sequence"] for event in events] == [f"{seq:016d}" for seq in range(1, len(events) + 1)]
    assert all(event["type"] in _KINDS for event in events)
    return [(event["type"].removeprefix("exmail.mail."), event["data"]) for event in events[1:]]


async def seq(redis: Any) -> int:
    return int(await redis.hget(STATE, "seq"))


async def asked(redis: Any, writer: Writer, unread: int, *, sure: bool = True) -> Outcome:
    [outcome] = await writer.commit([poll(unread, await seq(redis), sure=sure)])
    return outcome


async def wanted(redis: Any) -> set[bytes]:
    names: set[bytes] = await redis.smembers(KEYS.wanted)
    return names


async def test_a_mail_whose_count_leaps_is_a_gap_of_its_mailbox(redis: Any, writer: Writer) -> None:
    """Two mails came and one was heard: the count is asked for, and what is missing is told."""
    await writer.commit([mail("Z1", unread=6)])
    assert not await wanted(redis)
    await writer.commit([mail("Z2", unread=8)])
    assert await wanted(redis) == {BOB.encode()}
    [stored], _ = await Mirror(redis, KEYS).counted([BOB])
    assert stored.doubtful
    assert (await asked(redis, writer, 8, sure=False)).missed == 1
    assert (await asked(redis, writer, 8)).missed == 1
    assert [kind for kind, _ in await told(redis)] == ["new", "new", "missed"]
    assert await redis.hget(STATE, "base") is None


async def test_mails_out_of_order_leap_and_miss_nothing(redis: Any, writer: Writer) -> None:
    """The one that was counted and not heard comes after all."""
    await writer.commit([mail("Z2", unread=7), mail("Z1", unread=6), mail("Z3", unread=8)])
    assert (await asked(redis, writer, 8)).missed == 0
    assert [kind for kind, _ in await told(redis)] == ["new"] * 3
    assert await redis.hget(STATE, "base") is None


async def test_what_is_no_mail_does_not_leap(redis: Any, writer: Writer) -> None:
    """Somebody may mark mails as unread; a first count, a duplicate and a mail without a count tell of no gap."""
    await writer.commit([count(9), mail("Z1", unread=None), mail("Z2", unread=10), mail("Z2", unread=20)])
    assert not await wanted(redis)
    await redis.delete(STATE)
    await writer.commit([mail("Z3", unread=30)])
    assert not await wanted(redis)


async def test_a_rise_over_a_gap_is_announced_before_the_count(redis: Any, writer: Writer) -> None:
    """Two events of one step: how many at least, between when; then the count that is right."""
    await gap(redis, writer)
    outcome = await asked(redis, writer, 8)
    assert (outcome.result, outcome.missed, outcome.seq) == ("published", 3, 3)
    [(first, missed), (second, unread)] = await told(redis)
    assert (first, second) == ("missed", "unread")
    assert missed == {"mailbox": BOB, "since": 4000, "until": unread["as_of"], "at_least": 3}
    assert unread["unread"] == 8
    assert (await asked(redis, writer, 8)).missed == 0, "told once"
    assert len(await told(redis)) == 2


async def test_missed_mails_have_a_channel_and_stand_in_events(redis: Any, writer: Writer) -> None:
    """As every event: the mailbox's channel, one of its kind, and ``{ns}:events`` with type and mailbox."""
    pubsub = redis.pubsub()
    await pubsub.subscribe("exmail:mail.missed", KEYS.mailbox_channel(BOB))
    for _ in range(2):
        await pubsub.get_message(timeout=PATIENCE_S)
    await gap(redis, writer)
    await asked(redis, writer, 6)
    heard = [await pubsub.get_message(timeout=PATIENCE_S) for _ in range(3)]
    assert [message["channel"].decode() for message in heard] == [
        "exmail:mailbox:bob@gzdev.com",
        "exmail:mail.missed",
        "exmail:mailbox:bob@gzdev.com",
    ]
    entries = await redis.xrange(KEYS.events)
    assert [fields[b"type"] for _, fields in entries][-2:] == [b"exmail.mail.missed", b"exmail.mail.unread"]
    assert all(fields[b"mailbox"] == BOB.encode() for _, fields in entries[-2:])
    assert heard[0]["data"] == heard[1]["data"] == entries[-2][1][b"event"]
    await pubsub.aclose()


async def test_the_first_answer_alone_accuses_nobody(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """The push of a mail that it counts may be under way: the count applies, the doubt stays."""
    await gap(redis, writer)
    outcome = await asked(redis, writer, 6, sure=False)
    assert (outcome.result, outcome.missed) == ("published", 1)
    assert [kind for kind, _ in await told(redis)] == ["unread"]
    [stored], _ = await mirror.counted([BOB])
    assert stored.doubtful
    await writer.commit([mail("Z1", 6)])
    assert (await asked(redis, writer, 6)).missed == 0, "the push came"
    assert [kind for kind, _ in await told(redis)] == ["unread", "new"]
    [stored], _ = await mirror.counted([BOB])
    assert not stored.doubtful


async def test_the_second_answer_does(redis: Any, writer: Writer) -> None:
    """Since the first one nothing was pushed; the count itself is no news any more."""
    await gap(redis, writer)
    await asked(redis, writer, 6, sure=False)
    outcome = await asked(redis, writer, 6)
    assert (outcome.result, outcome.missed) == ("published", 1)
    assert [kind for kind, _ in await told(redis)] == ["unread", "missed"]
    assert not await redis.hexists(STATE, "base")


@pytest.mark.parametrize("arrive", [True, False])
async def test_what_the_second_answer_counts_beyond_the_first_is_suspected(
    redis: Any, writer: Writer, mirror: Mirror, *, arrive: bool
) -> None:
    """It came to be counted after the gap, and its push may be under way; only another gap makes it missed."""
    await gap(redis, writer)
    await asked(redis, writer, 8, sure=False)
    [outcome] = await writer.commit([poll(9, await seq(redis), sure=True, before=8)])
    assert (outcome.result, outcome.missed, outcome.pending) == ("published", 3, True)
    [stored], _ = await mirror.counted([BOB])
    assert not stored.doubtful
    if arrive:
        await writer.commit([mail("Z1", 9)])
        outcome = await asked(redis, writer, 9)
    else:
        await gap(redis, writer)
        await asked(redis, writer, 9, sure=False)
        outcome = await asked(redis, writer, 9)
    assert (outcome.missed, outcome.pending) == (0 if arrive else 1, False)
    accused = [data for kind, data in await told(redis) if kind == "missed"]
    assert [data["at_least"] for data in accused] == ([3] if arrive else [3, 1])
    # Since the first answer, which was true when it came.
    assert arrive or 4000 < accused[1]["since"] <= accused[0]["until"]
    assert not await redis.hexists(STATE, "base")


async def test_an_unsure_answer_that_is_no_news_publishes_nothing(redis: Any, writer: Writer) -> None:
    """A pushed count brought the rise; the answer says the same."""
    await gap(redis, writer)
    await writer.commit([count(7)])
    outcome = await asked(redis, writer, 7, sure=False)
    assert (outcome.result, outcome.missed) == ("unchanged", 2)
    assert (await asked(redis, writer, 7)).missed == 2
    assert [kind for kind, _ in await told(redis)] == ["unread", "missed"]


async def test_mails_that_were_announced_since_are_not_missed(redis: Any, writer: Writer) -> None:
    """Three missed, then two pushed: five more than before the gap, two of them told. Duplicates tell nothing."""
    await gap(redis, writer)
    await writer.commit([mail("Z1", 9), mail("", 10), mail("Z1", 10), mail("Z1", 10)])
    assert (await asked(redis, writer, 10)).missed == 3
    missed = (await told(redis))[-1]
    assert missed[0] == "missed"
    assert missed[1]["since"] == 4000


async def test_what_was_read_meanwhile_is_not_guessed(redis: Any, writer: Writer) -> None:
    """Fewer than before the gap: nothing can be said, and the doubt ends."""
    await gap(redis, writer)
    await writer.commit([mail("Z1", 3)])
    assert (await asked(redis, writer, 2)).missed == 0
    assert [kind for kind, _ in await told(redis)] == ["new", "unread"]
    assert not await redis.hexists(STATE, "base")


async def test_two_gaps_are_counted_from_before_the_first(redis: Any, writer: Writer) -> None:
    """Nobody could ask in between: the base stays."""
    await gap(redis, writer)
    await writer.commit([mail("Z1", 7)])
    await gap(redis, writer)
    await writer.commit([mail("Z2", 9)])
    assert (await asked(redis, writer, 9)).missed == 2


async def test_a_mail_without_a_count_keeps_the_doubt(redis: Any, writer: Writer) -> None:
    """Its count is unknown, that it was announced is not."""
    await gap(redis, writer)
    await writer.commit([mail("Z1", None), mail("Z2", None)])
    assert (await asked(redis, writer, 8)).missed == 1


async def test_an_answer_that_a_push_overtook_decides_nothing(redis: Any, writer: Writer) -> None:
    """``moved``: base and doubt are what they were."""
    await gap(redis, writer)
    before = await seq(redis)
    await writer.commit([count(6)])
    [outcome] = await writer.commit([poll(9, before, sure=True)])
    assert (outcome.result, outcome.missed) == ("moved", 0)
    assert await redis.hget(STATE, "base") == b"5"


async def test_without_a_gap_a_rise_is_just_a_count(redis: Any, writer: Writer) -> None:
    """Somebody marked mails as unread; no push was lost."""
    assert (await asked(redis, writer, 50)).missed == 0
    assert [kind for kind, _ in await told(redis)] == ["unread"]


async def test_a_mailbox_never_counted_cannot_miss_anything(redis: Any, writer: Writer) -> None:
    """There is nothing to compare with."""
    await writer.commit([announcement("exmail.upstream.missed", gap="+1")])
    [outcome] = await writer.commit([poll(7, 0, "ann@gzdev.com", sure=True)])
    assert (outcome.result, outcome.missed) == ("published", 0)


async def test_who_opens_a_doubtful_mailbox_has_it_asked_for(redis: Any, writer: Writer, reader: Reader) -> None:
    """However fresh its count looks: a gap lies between."""
    await reader.open([OpenRequest(BOB, ask=True)])
    assert not await redis.smembers(KEYS.wanted)
    await writer.commit([announcement("exmail.upstream.missed", gap="+1")])
    await reader.open([OpenRequest(BOB, ask=True)])
    assert await redis.smembers(KEYS.wanted) == {BOB.encode()}
    await redis.delete(KEYS.wanted)
    await writer.commit([count(6)])
    await reader.open([OpenRequest(BOB, ask=True)])
    assert await redis.smembers(KEYS.wanted) == {BOB.encode()}, "a push does not end the doubt"
    await redis.delete(KEYS.wanted)
    await asked(redis, writer, 6)
    await reader.open([OpenRequest(BOB, ask=True)])
    assert not await redis.smembers(KEYS.wanted)


async def test_forgetting_a_mailbox_forgets_its_base(redis: Any, writer: Writer) -> None:
    """Nothing of before is compared with."""
    from bridge.journal.calls import Forget

    await gap(redis, writer)
    await writer.commit([count(6), Forget(BOB)])
    assert not await redis.exists(STATE)
