"""What is held, who is barred, and what is forgotten: each branch of the script."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.events import DIRECTORY, Position, parse_position
from bridge.journal.calls import Advance, Forget, Scrub, Stream
from bridge.journal.errors import MailboxBarred
from bridge.journal.held import Held, read_held
from bridge.journal.mirror import Mirror
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, mail, member_event

ANN = "ann@gzdev.com"
HELD = Held(1795497613538, None, 7, "full", "it would delete too many accounts", (ANN, BOB))


async def test_what_is_held_is_stored_kept_and_cleared(writer: Writer, mirror: Mirror) -> None:
    """In the step that it belongs to; a call that says nothing of it leaves it alone."""
    await writer.commit([Advance(None, 6, held=HELD.as_json())])
    assert await mirror.held() == HELD == read_held(HELD.as_json())
    await writer.commit([Advance(6, 7)])
    assert await mirror.held() == HELD
    await writer.commit([Advance(6, 8, held=b"")])
    assert await mirror.held() == HELD
    await writer.commit([Advance(7, 8, held=b"")])
    assert await mirror.held() is None


async def test_barred_addresses_come_and_go(writer: Writer, mirror: Mirror) -> None:
    """Those that may be opened again go first: the same call may bar an address for another reason."""
    await writer.commit([Advance(None, 1, barred=[BOB, ANN])])
    await writer.commit([Advance(1, 2, barred=["c@x.cn", ANN], unbarred=[BOB, ANN])])
    assert await mirror.barred() == {ANN, "c@x.cn"}


async def test_a_swap_bars_who_is_staged_and_keeps_who_is_gone(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """Replaced, but for addresses that nobody has any more; an old stage is cleared with the rest."""
    await redis.sadd(KEYS.barred_next, "left@x.cn")
    await redis.sadd(KEYS.barred, "gone@x.cn", BOB, "slave@x.cn")
    await writer.commit([Advance(None, None, "next")])
    staged = Advance(None, None, "next", profiles={BOB: b"{}", ANN: b"{}"}, slaves={"slave@x.cn": BOB}, barred=[ANN])
    await writer.commit([staged])
    assert await mirror.barred() == {"gone@x.cn", BOB, "slave@x.cn"}
    await writer.commit([Advance(None, 2, "swap")])
    assert await mirror.barred() == {"gone@x.cn", ANN}
    assert await mirror.slaves() == {"slave@x.cn": BOB}
    assert not await redis.exists(KEYS.barred_next)


async def test_a_barred_mailbox_is_not_opened(redis: Any, writer: Writer, reader: Reader) -> None:
    """By none of its addresses, and nothing is created for it; the others of the same batch are."""
    await writer.commit([mail("Z1", 1, ANN), Advance(None, 1, slaves={"s@x.cn": BOB}, barred=[BOB])])
    opened = await reader.open([OpenRequest(BOB), OpenRequest(ANN), OpenRequest("s@x.cn")])
    assert [(each.mailbox, each.status) for each in opened] == [(BOB, "barred"), (ANN, "first"), (BOB, "barred")]
    assert opened[0].events == []
    for address in (BOB, "s@x.cn"):
        with pytest.raises(MailboxBarred):
            await reader.page(address, after=None, limit=5)
        with pytest.raises(MailboxBarred):
            await reader.unread(address)
    assert not await redis.exists(KEYS.state(BOB), KEYS.wanted)


async def test_a_barred_address_that_is_a_slave_is_its_account_s(writer: Writer, reader: Reader) -> None:
    """Who has it now decides."""
    await writer.commit([Advance(None, 1, slaves={"s@x.cn": ANN}, barred=["s@x.cn", BOB])])
    [opened] = await reader.open([OpenRequest("s@x.cn")])
    assert (opened.mailbox, opened.status) == (ANN, "first")
    assert await reader.states([ANN, BOB, "s@x.cn"]) == ["open", "barred", "moved"]
    assert await reader.states([]) == []


async def test_forgetting_a_mailbox_leaves_nothing_and_its_next_epoch_is_new(
    redis: Any, writer: Writer, reader: Reader
) -> None:
    """Counts, history, seen MailIds and marks; the same MailId would be announced again. Others keep theirs."""
    before, _ = await writer.commit([mail("Z1"), mail("Z1", 1, ANN)])
    await redis.sadd(KEYS.wanted, BOB, ANN)
    await redis.zadd(KEYS.online, {BOB: 4e9, ANN: 4e9})
    [outcome] = await writer.commit([Forget(BOB)])
    assert outcome.result == "unchanged"
    assert not await redis.exists(KEYS.state(BOB), KEYS.log(BOB), KEYS.seen(BOB))
    assert await redis.exists(KEYS.state(ANN), KEYS.log(ANN), KEYS.seen(ANN)) == 3
    assert await redis.smembers(KEYS.wanted) == {ANN.encode()}
    assert await redis.zrange(KEYS.online, 0, -1) == [ANN.encode()]
    [opened] = await reader.open([OpenRequest(BOB)])
    assert (opened.top.seq, opened.unread) == (0, None)
    assert opened.top.epoch != before.epoch
    [again] = await writer.commit([mail("Z1")])
    assert (again.result, again.seq, again.epoch) == ("published", 1, opened.top.epoch)


@pytest.mark.parametrize("stream", ["events", "log", "audit"])
async def test_scrubbing_takes_out_what_is_about_an_address(
    redis: Any, writer: Writer, mirror: Mirror, stream: Stream
) -> None:
    """From that stream alone; found by the mailbox or the subject, whatever else the entry says."""
    await writer.commit([mail("Z1"), mail("Z2", 1, ANN), mail("Z3")])
    await writer.commit([Advance(None, 1, events=[member_event(alias) for alias in (BOB, ANN, BOB)])])
    for address in (BOB, ANN):
        await redis.xadd(KEYS.audit, {"mailbox": address, "result": "opened"})
    keys = {"events": KEYS.events, "log": KEYS.log(DIRECTORY), "audit": KEYS.audit}
    sizes = {name: await redis.xlen(key) for name, key in keys.items()}
    ids = await mirror.entries_of(stream, [BOB, "nobody@x.cn"])
    assert len(ids) == {"events": 4, "log": 2, "audit": 1}[stream]
    await writer.commit([Scrub(stream, ids)])
    assert await mirror.entries_of(stream, [BOB]) == []
    left = {name: await redis.xlen(key) for name, key in keys.items()}
    assert left == sizes | {stream: sizes[stream] - len(ids)}


async def test_a_long_stream_is_read_whole(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """In pieces, none skipped and none twice."""
    await writer.commit([mail(f"Z{number}", number + 1, BOB if number % 2 else ANN) for number in range(1201)])
    ids = await mirror.entries_of("events", [ANN])
    assert len(ids) == len(set(ids)) == 601


async def test_forgetting_and_scrubbing_need_the_lease(redis: Any, writer: Writer, new_writer: Any) -> None:
    """A leader that was deposed deletes nothing."""
    await writer.commit([mail("Z1")])
    [id] = await Mirror(redis, KEYS).entries_of("events", [BOB])
    await redis.delete(KEYS.lease)
    assert await new_writer().claim() is not None
    from bridge.journal.errors import LeaseLost

    for call in (Forget(BOB), Scrub("events", [id])):
        with pytest.raises(LeaseLost):
            await writer.commit([call])
    assert await redis.exists(KEYS.state(BOB), KEYS.log(BOB)) == 2
    assert await redis.xlen(KEYS.events) == 1


async def test_everybody_is_read_in_pieces(writer: Writer, mirror: Mirror) -> None:
    """More accounts than one piece holds."""
    profiles = {f"u{number}@x.cn": b'{"alias":"u%d@x.cn"}' % number for number in range(1200)}
    await writer.commit([Advance(None, 1, profiles=profiles)])
    found = await mirror.everybody()
    assert found.keys() == profiles.keys()
    assert found["u7@x.cn"] == {"alias": "u7@x.cn"}


async def test_an_address_that_is_anothers_begins_an_epoch_that_can_be_read(
    redis: Any, writer: Writer, reader: Reader
) -> None:
    """Also where the call is the first of its batch, which names the server beside the epoch."""
    await writer.commit([mail("Z1")])
    await writer.commit([Forget(BOB, anew=True)])
    [opened] = await reader.open([OpenRequest(BOB)])
    [outcome] = await writer.commit([mail("Z2")])
    assert (outcome.epoch, outcome.seq) == (opened.top.epoch, 1)
    assert parse_position(f"{outcome.epoch}-1") == Position(outcome.epoch, 1)
