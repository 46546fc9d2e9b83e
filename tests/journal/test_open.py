"""``open`` and ``page``: what a browser is given, each branch of the script."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bridge.events import Position, position_of
from bridge.journal.calls import Advance
from bridge.journal.errors import FormatTooNew, JournalRefused, NotLetIn, TakesNoWrites
from bridge.journal.reader import Opened, OpenRequest, Reader
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S

from .conftest import BOB, KEYS, announcement, count, mail


def seqs(events: list[bytes]) -> list[int]:
    return [position_of(event).seq for event in events]


async def test_a_mailbox_never_seen_gets_an_epoch_that_the_first_mail_continues(writer: Writer, reader: Reader) -> None:
    """``<epoch>-0``: so that the first mail can be resumed over."""
    [opened] = await reader.open([OpenRequest(BOB)])
    assert (opened.status, opened.top.seq, opened.unread, opened.as_of, opened.events) == ("first", 0, None, None, [])
    [outcome] = await writer.commit([mail("Z1")])
    assert outcome.epoch == opened.top.epoch
    [again] = await reader.open([OpenRequest(BOB, opened.top)])
    assert again.status == "resumed"
    assert seqs(again.events) == [1]


async def test_before_any_worker_led_a_mailbox_can_be_opened(reader: Reader) -> None:
    """Twice the same epoch: opening is no reset."""
    [first] = await reader.open([OpenRequest(BOB)])
    [second] = await reader.open([OpenRequest(BOB)])
    assert first.top == second.top
    assert second.upstream.state == "disconnected"


async def test_cursor_at_the_top_is_resumed_whatever_its_age(redis: Any, writer: Writer, reader: Reader) -> None:
    """The history is gone, the position is known: nothing was missed."""
    [outcome] = await writer.commit([mail("Z1")])
    await redis.delete(KEYS.log(BOB))
    [opened] = await reader.open([OpenRequest(BOB, Position(outcome.epoch, 1))])
    assert (opened.status, opened.events) == ("resumed", [])


async def test_history_that_does_not_reach_back_is_expired(redis: Any, writer: Writer, reader: Reader) -> None:
    """Trimmed away, or the whole key expired."""
    outcomes = await writer.commit([mail(f"Z{number}") for number in range(8)])
    epoch = outcomes[0].epoch
    [opened] = await reader.open([OpenRequest(BOB, Position(epoch, 2))])
    assert opened.status == "expired"
    assert seqs(opened.events) == [4, 5, 6, 7, 8]
    [opened] = await reader.open([OpenRequest(BOB, Position(epoch, 3))])
    assert opened.status == "resumed"
    await redis.delete(KEYS.log(BOB))
    [opened] = await reader.open([OpenRequest(BOB, Position(epoch, 7))])
    assert (opened.status, opened.events) == ("expired", [])


async def test_another_epoch_and_a_position_ahead_are_told_apart_from_expiry(writer: Writer, reader: Reader) -> None:
    """Both mean that history was lost or reset."""
    [outcome] = await writer.commit([mail("Z1")])
    for after in (Position("zzzzzzzz", 1), Position("-", 0), Position(outcome.epoch, 2)):
        [opened] = await reader.open([OpenRequest(BOB, after)])
        assert opened.status == "epoch"
        assert seqs(opened.events) == [1]


async def test_recent_are_the_newest_mails_without_counts(redis: Any, writer: Writer) -> None:
    """Counts stand between the mails, more than one piece of them; only mails are given, oldest first."""
    reader = Reader(redis, KEYS, history_events=1000, history_s=3600, recent=3)
    from bridge.journal.calls import Retention

    writer._retention = Retention(history_events=1000)
    calls: list[Any] = [mail(f"Z{number}", number) for number in range(5)]
    calls += [count(number) for number in range(100, 190)]
    calls += [mail("Z9", 200)]
    await writer.commit(calls)
    [opened] = await reader.open([OpenRequest(BOB)])
    assert [orjson.loads(event)["data"]["mail_id"] for event in opened.events] == ["Z3", "Z4", "Z9"]


async def test_events_over_age_are_gone_though_the_log_still_has_them(writer: Writer, reader: Reader) -> None:
    """The log lives as long as its newest event; readers skip what is over age."""
    old, new = time.time() - 3700, time.time()
    outcomes = await writer.commit([mail("Z1", time_s=old), mail("Z2", time_s=old), mail("Z3", time_s=new)])
    epoch = outcomes[0].epoch
    [opened] = await reader.open([OpenRequest(BOB, Position(epoch, 0))])
    assert opened.status == "expired"
    assert seqs(opened.events) == [3]
    [opened] = await reader.open([OpenRequest(BOB, Position(epoch, 2))])
    assert (opened.status, seqs(opened.events)) == ("resumed", [3])


async def test_a_slave_stands_for_its_account(writer: Writer, reader: Reader) -> None:
    """Opened by a slave (别名): the account's stream, and no stream of the slave's own."""
    await writer.commit([Advance(None, 5, profiles={BOB: b"{}"}, slaves={"bobby@gzdev.com": BOB})])
    await writer.commit([mail("Z1", 3)])
    [opened] = await reader.open([OpenRequest("bobby@gzdev.com")])
    assert (opened.mailbox, opened.unread, opened.known) == (BOB, 3, True)
    page = await reader.page("bobby@gzdev.com", after=None, limit=10)
    assert (page.mailbox, seqs(page.events)) == (BOB, [1])
    [stranger] = await reader.open([OpenRequest("nobody@gzdev.com")])
    assert stranger.known is False


async def test_many_mailboxes_open_in_one_round_trip(writer: Writer, reader: Reader) -> None:
    """Each gets its own answer, in order."""
    await writer.commit([mail("Z1", 1), mail("Z1", 2, "ann@gzdev.com")])
    opened = await reader.open([OpenRequest("ann@gzdev.com"), OpenRequest(BOB), OpenRequest("new@gzdev.com")])
    assert [one.unread for one in opened] == [2, 1, None]


async def test_a_count_that_is_unknown_or_old_is_wanted(
    redis: Any, writer: Writer, reader: Reader, mirror: Any
) -> None:
    """A browser comes: unknown and ten minutes old are asked for, fresh ones are not, and repairs ask nothing."""
    await writer.commit([count(1), count(1, "old@gzdev.com")])
    await redis.hset(KEYS.state("old@gzdev.com"), "as_of", 1)
    await reader.open([OpenRequest(m, ask=True) for m in (BOB, "old@gzdev.com", "new@gzdev.com")])
    await reader.open([OpenRequest("silent@gzdev.com")])
    assert sorted(await mirror.take_wanted(10)) == ["new@gzdev.com", "old@gzdev.com"]
    assert await mirror.take_wanted(10) == []


async def test_upstream_is_what_the_leader_wrote_and_disconnected_without_one(
    redis: Any, writer: Writer, reader: Reader
) -> None:
    """No lease = disconnected, whatever the hash says."""
    await writer.commit([announcement(state="connected", since="5", why="")])
    [opened] = await reader.open([OpenRequest(BOB)])
    assert (opened.upstream.state, opened.upstream.since) == ("connected", 5)
    assert (await reader.upstream()).state == "connected"
    await writer.commit([announcement(state="degraded", since="6", why="silent")])
    assert (await reader.upstream()).why == "silent"
    await redis.delete(KEYS.lease)
    [opened] = await reader.open([OpenRequest(BOB)])
    assert opened.upstream.state == "disconnected"
    assert (await reader.upstream()).state == "disconnected"


async def test_pages_follow_each_other(writer: Writer, reader: Reader) -> None:
    """Oldest first, until there is no more; without ``after`` the newest."""
    outcomes = await writer.commit([mail(f"Z{number}") for number in range(5)])
    epoch = outcomes[0].epoch
    page = await reader.page(BOB, after=Position(epoch, 0), limit=2)
    assert (seqs(page.events), page.position, page.more, page.complete) == ([1, 2], Position(epoch, 2), True, True)
    page = await reader.page(BOB, after=page.position, limit=3)
    assert (seqs(page.events), page.position.seq, page.more, page.complete) == ([3, 4, 5], 5, False, True)
    page = await reader.page(BOB, after=page.position, limit=3)
    assert (page.events, page.position.seq, page.more, page.complete) == ([], 5, False, True)
    page = await reader.page(BOB, after=None, limit=2)
    assert (seqs(page.events), page.position.seq, page.complete) == ([4, 5], 5, True)


async def test_a_page_says_when_history_does_not_reach_back(redis: Any, writer: Writer, reader: Reader) -> None:
    """``complete: false``: trimmed, expired, or another epoch."""
    outcomes = await writer.commit([mail(f"Z{number}") for number in range(8)])
    epoch = outcomes[0].epoch
    page = await reader.page(BOB, after=Position(epoch, 1), limit=2)
    assert (seqs(page.events), page.complete) == ([4, 5], False)
    page = await reader.page(BOB, after=Position("zzzzzzzz", 1), limit=2)
    assert (seqs(page.events), page.complete, page.position.seq) == ([7, 8], False, 8)
    await redis.delete(KEYS.log(BOB))
    page = await reader.page(BOB, after=Position(epoch, 1), limit=2)
    assert (page.events, page.complete) == ([], False)


async def test_a_page_of_a_mailbox_never_seen_creates_nothing(redis: Any, writer: Writer, reader: Reader) -> None:
    """Reading is no opening."""
    page = await reader.page("new@gzdev.com", after=None, limit=5)
    assert (page.events, page.position.seq) == ([], 0)
    assert not await redis.exists(KEYS.state("new@gzdev.com"))


async def test_tops_tell_positions_and_generations(redis: Any, writer: Writer, reader: Reader) -> None:
    """What a sweep compares with."""
    [outcome] = await writer.commit([mail("Z1")])
    assert await reader.tops([BOB, "new@gzdev.com"]) == [Position(outcome.epoch, 1), None]
    await redis.set(KEYS.generation, writer.generation + 1)
    assert await reader.tops([BOB]) == [None]


async def test_positions_that_may_not_be_read_are_a_fault(redis: Any, redis_url: str, reader: Reader) -> None:
    """A server that refuses says nothing about anybody's position."""
    assert await reader.tops([BOB]) == [None]
    await redis.acl_setuser("blind", enabled=True, passwords=["+pw"], commands=["+ping", "+get"], keys=["*"])
    blind = Redis.from_url(redis_url, username="blind", password="pw")
    try:
        with pytest.raises(NotLetIn):
            await Reader(blind, KEYS, history_events=5, history_s=3600).tops([BOB])
    finally:
        await blind.aclose()
        await redis.acl_deluser("blind")


async def test_tickets_open_once_and_are_stored_hashed(redis: Any, reader: Reader) -> None:
    """Spent, unknown, expired: all the same."""
    ticket = await reader.put_ticket(b'{"mailboxes":["bob@gzdev.com"]}')
    [key] = [key async for key in redis.scan_iter("*private:ticket*")]
    assert ticket.encode() not in key
    assert 0 < await redis.ttl(key) <= 30
    assert await reader.take_ticket(ticket) == b'{"mailboxes":["bob@gzdev.com"]}'
    assert await reader.take_ticket(ticket) is None
    assert await reader.take_ticket("never") is None


async def test_presence_expires_by_itself(redis: Any, reader: Reader, mirror: Any) -> None:
    """Entries, no counters: an edge that died leaves nothing behind for long."""
    await reader.mark_online([BOB], for_s=60)
    await reader.mark_online(["gone@gzdev.com"], for_s=-1)
    await reader.mark_online([], for_s=60)
    assert await mirror.online() == [BOB]
    await mirror.forget_offline()
    assert await redis.zcard(KEYS.online) == 1


async def test_a_newer_layout_is_refused(redis: Any, reader: Reader) -> None:
    """A program does not touch data that a newer one wrote."""
    assert await reader.check() is None
    await redis.set(KEYS.format, 2)
    with pytest.raises(FormatTooNew):
        await reader.check()


@pytest.mark.parametrize("setting", ["maxmemory", "min-replicas-to-write"])
async def test_a_server_that_takes_no_writes_still_serves_who_is_known(
    reader: Reader, writer: Writer, redis: Any, setting: str
) -> None:
    """His count is old and cannot be noted as wanted; that is no reason to keep him out."""
    await writer.commit([mail("Z1", 3)])
    await redis.hset(KEYS.state(BOB), "as_of", "0")
    await redis.config_set(setting, "1")
    try:
        [opened] = await reader.open([OpenRequest(BOB, ask=True)])
    finally:
        await redis.config_set(setting, "0")
    assert (opened.unread, len(opened.events)) == (3, 1)
    assert not await redis.exists(KEYS.wanted)


async def test_what_would_have_to_be_begun_on_a_server_that_takes_no_writes_fails_alone(
    reader: Reader, writer: Writer, redis: Any
) -> None:
    """A mailbox that nobody has seen; those who are asked for beside it are answered."""
    await writer.commit([mail("Z1", 3)])
    await redis.config_set("min-replicas-to-write", "1")
    try:
        known, fresh = await reader.open_each([OpenRequest(BOB), OpenRequest("ann@gzdev.com")])
        with pytest.raises(TakesNoWrites):
            await reader.open([OpenRequest("ann@gzdev.com")])
    finally:
        await redis.config_set("min-replicas-to-write", "0")
    assert isinstance(known, Opened)
    assert len(known.events) == 1
    assert isinstance(fresh, TakesNoWrites)
    assert fresh.word == "NOREPLICAS"


async def test_an_evicting_server_is_warned_of(redis: Any, reader: Reader) -> None:
    """Redis that may throw data away loses events in silence."""
    await redis.config_set("maxmemory", "100mb")
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        warning = await reader.check()
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "0")
    assert warning is not None
    assert "noeviction" in warning


async def test_a_reader_without_rights_is_told_so(redis_url: str, redis: Any) -> None:
    """NOPERM is the operator's affair and reads as such, not as an old server."""
    from bridge.journal.connect import RedisAddress

    await redis.acl_setuser("weak", enabled=True, passwords=["+pw"], commands=["+ping"], keys=["*"])
    weak = RedisAddress(redis_url, "weak", lambda: "pw").client(timeout_s=PATIENCE_S)
    try:
        with pytest.raises(JournalRefused, match=r"NOPERM|permission"):
            await Reader(weak, KEYS, history_events=5, history_s=60).check()
    finally:
        await weak.aclose()
        await redis.acl_deluser("weak")
