"""A mailbox's key of another type, as somebody else in the namespace may leave it: it begins anew, no worker ends."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.events import DIRECTORY, SYSTEM
from bridge.journal.calls import Carry, Forget
from bridge.journal.canary import Canary
from bridge.journal.errors import JournalRefused
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, announcement, count, mail, poll

ANN = "ann@gzdev.com"
OF_A_MAILBOX = [KEYS.state(BOB), KEYS.log(BOB), KEYS.seen(BOB), KEYS.wanted]


async def spoil(redis: Any, key: str) -> None:
    """Make it a list, which none of these is."""
    await redis.delete(key)
    await redis.rpush(key, "odd")


async def positions(redis: Any, mailbox: str = BOB) -> list[bytes]:
    """Of its events, as other services read them."""
    entries = await redis.xrange(KEYS.events)
    return [fields[b"event"].split(b'"')[7] for _, fields in entries if fields[b"mailbox"] == mailbox.encode()]


@pytest.mark.parametrize("key", OF_A_MAILBOX)
@pytest.mark.parametrize(
    "calls", [[mail("Z2", 9)], [mail("", 9)], [count(9)], [poll(9, 1)]], ids=["mail", "", "count", "poll"]
)
async def test_every_mail_is_recorded_once(
    writer: Writer, redis: Any, caplog: pytest.LogCaptureFixture, key: str, calls: list[Any]
) -> None:
    """Those of others, and this one's; no position is given twice, and what was there is named."""
    await writer.commit([mail("Z1", 3)])
    await spoil(redis, key)
    await writer.commit([mail("Z1", 1, ANN), *calls, mail("Z2", 2, ANN)])
    await writer.commit([mail("Z3", 10)])
    assert len(await positions(redis, ANN)) == 2
    told = await positions(redis)
    # If the position was lost, a poll is too late: it is asked for again.
    assert len(told) == (2 if key == KEYS.state(BOB) and calls == [poll(9, 1)] else 3)
    assert len(set(told)) == len(told)
    assert int(await redis.get(KEYS.commits)) == 5
    named = [record.__dict__["key"] for record in caplog.records if "begins anew" in record.message]
    assert named in ([key], [])


@pytest.mark.parametrize("key", OF_A_MAILBOX)
async def test_no_position_is_given_twice(writer: Writer, redis: Any, key: str) -> None:
    """Of many counts one after the other: what is looked at now and then only is of another type, too."""
    await writer.commit([count(1)])
    await spoil(redis, key)
    for number in range(2, 40):
        await writer.commit([count(number)])
    told = await positions(redis)
    assert len(set(told)) == len(told) == 39


@pytest.mark.parametrize("stream", [SYSTEM, DIRECTORY, "canary"])
async def test_what_concerns_no_mailbox_is_told_too(writer: Writer, redis: Any, stream: str) -> None:
    """An edge can make a hash of a log, and an operator anything."""
    for key in (KEYS.state(stream), KEYS.log(stream)):
        await spoil(redis, key)
    await writer.commit([announcement()])
    await Canary(writer, KEYS).sing("x", at_s=1)
    if stream == SYSTEM:
        assert await redis.xlen(KEYS.log(SYSTEM)) == 1


@pytest.mark.parametrize("key", [*OF_A_MAILBOX, KEYS.forgotten])
async def test_whoever_has_the_address_now_is_told_of_what_he_missed(
    writer: Writer, redis: Any, mirror: Mirror, key: str
) -> None:
    """What is deleted with a mailbox is deleted in one step, whatever it is."""
    await writer.commit([mail("Z1", 3)])
    await spoil(redis, key)
    await writer.commit([Forget(BOB, anew=True)])
    assert await redis.hget(KEYS.state(BOB), "base") == b"0"
    assert await mirror.take_wanted(5) == [BOB]
    assert not await redis.exists(KEYS.log(BOB), KEYS.seen(BOB))


@pytest.mark.parametrize("key", [KEYS.state(ANN), KEYS.state(BOB), KEYS.forgotten])
async def test_somebody_takes_another_address(writer: Writer, redis: Any, key: str) -> None:
    """What cannot be carried there is not."""
    await writer.commit([mail("Z1", 3, ANN)])
    await spoil(redis, key)
    await writer.commit([Carry(BOB, ANN)])
    [outcome] = await writer.commit([mail("Z2", 4)])
    assert outcome.seq == (1 if key == KEYS.state(ANN) else 2)


async def test_its_count_is_asked_for(mirror: Mirror, writer: Writer, redis: Any) -> None:
    """Of whom nothing can be read nothing is known; of the others what is stored."""
    await writer.commit([mail("Z1", 3), mail("Z1", 4, ANN)])
    await spoil(redis, KEYS.state(BOB))
    [bob, ann], _ = await mirror.counted([BOB, ANN])
    assert (bob.unread, ann.unread) == (None, 4)
    await spoil(redis, KEYS.wanted)
    assert await mirror.take_wanted(5) == []
    assert not await redis.exists(KEYS.wanted)


async def test_what_concerns_everybody_is_left_as_it_is(writer: Writer, redis: Any) -> None:
    """An operator has to know of it, and a leader ends over it."""
    await spoil(redis, KEYS.upstream)
    with pytest.raises(JournalRefused, match="WRONGTYPE"):
        await writer.commit([mail("Z1", 3)])
    assert await redis.type(KEYS.upstream) == b"list"
