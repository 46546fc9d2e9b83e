"""``claim``, ``renew``, ``release``: who leads, and whether Redis went back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.events import Position
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import FormatTooNew, LeaseLost
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Outcome, Writer
from tests.support.waiting import PATIENCE_S

from .conftest import BOB, KEYS, LEASE_S, mail

RESTORED = "0" * 40


async def test_one_leads_the_others_stand_by(new_writer: Any, redis: Any) -> None:
    """The lease has one holder; its value is fence and random part."""
    first, second = new_writer(), new_writer()
    claimed = await first.claim()
    assert claimed is not None
    assert claimed.fence == 1
    assert await second.claim() is None
    value = (await redis.get(KEYS.lease)).decode()
    assert value.startswith("1:")
    assert 0 < await redis.pttl(KEYS.lease) <= LEASE_S * 1000


async def test_a_released_lease_is_taken_at_once_under_the_next_fence(new_writer: Any, redis: Any) -> None:
    """No generation begins by a change of leaders on the same server."""
    first, second = new_writer(), new_writer()
    one = await first.claim()
    await first.release()
    two = await second.claim()
    assert one is not None
    assert two is not None
    assert (two.fence, two.generation) == (2, one.generation)
    await first.release()
    assert await redis.exists(KEYS.lease)


async def test_a_lease_whose_holder_has_ended_counts_as_run_out(new_writer: Any, redis: Any) -> None:
    """Under the next fence, in the same generation; what the former holder sent and is still under way is refused."""
    dead, next_one = new_writer(), new_writer()
    one = await dead.claim()
    assert one is not None
    assert await next_one.claim() is None
    assert f"1:{next_one.holder}" == (await redis.get(KEYS.lease)).decode()
    two = await next_one.claim(over_holder=True)
    assert two is not None
    assert (two.fence, two.generation, next_one.holder) == (2, one.generation, "")
    with pytest.raises(LeaseLost):
        await dead.commit([mail("late")])
    [outcome] = await next_one.commit([mail("first")])
    assert outcome.seq == 1


async def test_only_the_lease_that_was_seen_is_claimed_over(new_writer: Any, redis: Any) -> None:
    """Whoever leads meanwhile keeps it, be it the same worker under another fence; so does who was never seen."""
    first, second, late = new_writer(), new_writer(), new_writer()
    await first.claim()
    assert await late.claim(over_holder=True) is None
    seen = late.holder
    await first.release()
    await first.claim()
    assert await late.claim(over_holder=True) is None
    assert late.holder == seen
    await first.release()
    await second.claim()
    assert await late.claim(over_holder=True) is None
    assert (await redis.get(KEYS.lease)).startswith(b"3:")


@pytest.mark.parametrize("value", ["soon", "1.5", "-1", "", "9" * 30, b"\xff"])
async def test_until_when_was_heard_is_a_time_or_unknown(new_writer: Any, redis: Any, value: str | bytes) -> None:
    """What somebody else wrote there ends no claim: the gap begins with it, as where nothing is noted."""
    assert await new_writer().claim() is not None
    await redis.delete(KEYS.lease)
    await redis.hset(KEYS.upstream, "heard", value)
    now_ms = int((await redis.time())[0]) * 1000
    claimed = await new_writer().claim()
    assert claimed is not None
    assert claimed.heard_ms is None
    assert int(await redis.hget(KEYS.upstream, "heard")) >= now_ms


async def test_a_claim_whose_answer_was_lost_is_repeated_harmlessly(writer: Writer) -> None:
    """Mine already: the same fence, the lease for its whole length again."""
    again = await writer.claim()
    assert again is not None
    assert (again.fence, again.another_led, again.new_generation) == (1, False, False)


async def test_the_first_claim_begins_what_was_heard_and_no_later_one_moves_it(new_writer: Any, redis: Any) -> None:
    """A leader that dies before it can say that it listens has perhaps listened; the one before it is not overruled."""
    first, second = new_writer(), new_writer()
    one = await first.claim()
    assert one is not None
    assert one.heard_ms is None
    now_s, _ = await redis.time()
    began = await redis.hget(KEYS.upstream, "heard")
    assert abs(int(began) - now_s * 1000) < 60_000
    await first.release()
    two = await second.claim()
    assert two is not None
    assert two.heard_ms == int(began)
    assert await redis.hget(KEYS.upstream, "heard") == began


async def test_renewing_keeps_the_lease_and_says_when_it_is_gone(writer: Writer, redis: Any) -> None:
    """Renewed to its whole length; a lease that ran out or is another's cannot be renewed."""
    await redis.pexpire(KEYS.lease, LEASE_S * 500)
    await writer.renew(heard_ms=42)
    assert await redis.pttl(KEYS.lease) > LEASE_S * 500
    assert await redis.hget(KEYS.upstream, "heard") == b"42"
    await redis.set(KEYS.lease, "1:other")
    with pytest.raises(LeaseLost):
        await writer.renew()
    with pytest.raises(LeaseLost):
        await writer.keep()
    await redis.delete(KEYS.lease)
    await writer.keep()
    assert writer.fence == 2


async def test_a_leader_that_was_deposed_learns_that_another_led(writer: Writer, new_writer: Any, redis: Any) -> None:
    """Fence + 2: what waits must be dropped, and nothing is written with old numbers."""
    other = new_writer()
    await redis.delete(KEYS.lease)
    await other.claim()
    await other.commit([mail("Z1")])
    await other.release()
    with pytest.raises(LeaseLost):
        await writer.commit([mail("Z2")])
    assert await redis.xlen(KEYS.events) == 1
    claimed = await writer.claim()
    assert claimed is not None
    [outcome] = await writer.commit([mail("Z3")])
    assert outcome.seq == 2


async def test_a_newer_layout_is_not_claimed(new_writer: Any, redis: Any) -> None:
    """Refused before anything is written."""
    await redis.set(KEYS.format, 99)
    with pytest.raises(FormatTooNew):
        await new_writer().claim()
    assert not await redis.exists(KEYS.lease)


async def test_commits_below_what_the_leader_was_told_begin_a_generation(
    writer: Writer, redis: Any, reader: Reader
) -> None:
    """A failover lost commits: new epoch, seq from 1, no position twice, the waiting batch is still committed."""
    before = writer.generation
    [old] = await writer.commit([mail("Z1")])
    await writer.commit([mail("Z2"), mail("Z3")])
    # What a promoted replica that lagged by two commits holds.
    await redis.set(KEYS.commits, 1)
    await redis.xtrim(KEYS.log(BOB), maxlen=1)
    await redis.hset(KEYS.state(BOB), "seq", 1)
    [outcome] = await writer.commit([mail("Z4")])
    assert writer.generation > before
    assert outcome.epoch != old.epoch
    assert (outcome.result, outcome.seq) == ("published", 1)
    [opened] = await reader.open([OpenRequest(BOB, Position(old.epoch, 3))])
    assert opened.status == "epoch"
    [events_id] = [entry_id for entry_id, _ in await redis.xrevrange(KEYS.events, count=1)]
    assert events_id == f"{writer.generation}-0".encode()


async def test_a_renewal_notices_that_redis_went_back(writer: Writer, redis: Any) -> None:
    """Also when nothing is pushed."""
    before = writer.generation
    await writer.commit([mail("Z1"), mail("Z2")])
    await redis.set(KEYS.commits, 1)
    await writer.keep()
    assert writer.generation > before
    [outcome] = await writer.commit([mail("Z9")])
    assert outcome.seq == 1


async def test_a_worker_without_memory_on_another_server_begins_a_generation(
    writer: Writer, new_writer: Any, redis: Any
) -> None:
    """A restored dump: its recorded ``run_id`` is not this server's."""
    await writer.commit([mail("Z1")])
    await writer.release()
    await redis.set(KEYS.server, RESTORED)
    claimed = await new_writer().claim()
    assert claimed is not None
    assert claimed.new_generation
    assert claimed.generation > writer.generation


async def test_the_same_server_is_no_new_generation_for_a_worker_without_memory(
    writer: Writer, new_writer: Any
) -> None:
    """A restarted worker goes on."""
    await writer.release()
    claimed = await new_writer().claim()
    assert claimed is not None
    assert claimed.generation == writer.generation


async def test_a_fence_that_went_back_begins_a_generation_and_grows_on(writer: Writer, redis: Any) -> None:
    """Even the fence was lost: older than anything this worker knows."""
    await redis.delete(KEYS.lease)
    await writer.claim()
    assert writer.fence == 2
    before = writer.generation
    await redis.set(KEYS.fence, 1)
    await redis.delete(KEYS.lease)
    claimed = await writer.claim()
    assert claimed is not None
    assert (claimed.fence, claimed.new_generation) == (3, True)
    assert claimed.generation > before


async def test_a_fence_that_another_was_seen_to_hold_is_remembered(writer: Writer, new_writer: Any, redis: Any) -> None:
    """A deposed leader claims on a replica that never heard of its successor: what that one told is not told again."""
    [mine] = await writer.commit([mail("Z1")])
    before = await redis.dump(KEYS.state(BOB)), await redis.dump(KEYS.log(BOB))
    await redis.delete(KEYS.lease)
    other = new_writer()
    await other.claim()
    [theirs] = await other.commit([mail("Z2")])
    assert await writer.claim() is None
    # The promoted replica: as it was before the other led.
    await redis.delete(KEYS.lease)
    await redis.set(KEYS.fence, 1)
    await redis.set(KEYS.commits, 1)
    for key, dump in zip((KEYS.state(BOB), KEYS.log(BOB)), before, strict=True):
        await redis.restore(key, 0, dump, replace=True)
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation
    assert claimed.fence == 3
    [again] = await writer.commit([mail("Z3")])
    assert (theirs.epoch, theirs.seq) == (mine.epoch, 2)
    assert (again.epoch, again.seq) != (theirs.epoch, theirs.seq)


async def test_a_new_generation_tells_what_survived(writer: Writer, redis: Any) -> None:
    """Until when the provider was heard, by the data that are left: what was pushed after that is lost."""
    await writer.commit([mail("Z1"), mail("Z2")])
    await writer.renew(heard_ms=42)
    await redis.set(KEYS.commits, 1)
    await writer.keep(heard_ms=99)
    assert writer.survived_ms == 42


async def test_a_promoted_replica_that_lost_nothing_becomes_the_recorded_server(writer: Writer, redis: Any) -> None:
    """The next leader must not begin a generation for a failover without loss."""
    await redis.set(KEYS.server, RESTORED)
    await writer.renew()
    assert (await redis.get(KEYS.server)).decode() == (await redis.info("server"))["run_id"]


async def test_a_mailbox_of_an_older_generation_counts_as_absent(writer: Writer, redis: Any, reader: Reader) -> None:
    """Opened first or written first: its log and count are gone, its epoch is new."""
    await writer.commit([mail("Z1", 5), mail("Z1", 5, "ann@gzdev.com")])
    await redis.set(KEYS.server, RESTORED)
    await redis.delete(KEYS.lease, KEYS.fence)
    await writer.claim()
    [opened] = await reader.open([OpenRequest(BOB)])
    assert (opened.top.seq, opened.unread, opened.events) == (0, None, [])
    assert not await redis.exists(KEYS.log(BOB))
    [outcome] = await writer.commit([mail("Z2", 6, "ann@gzdev.com")])
    assert outcome.seq == 1
    assert await redis.xlen(KEYS.log("ann@gzdev.com")) == 1


async def test_redis_away_is_waited_for_and_the_batch_applied_once(own_server: EmbeddedServer) -> None:
    """kill -9 of the server: the commit waits, the server comes back with its file, the mail is there once."""
    from bridge.journal.calls import Retention
    from bridge.journal.connect import RedisAddress

    waited = asyncio.Event()

    async def pause(_seconds: float) -> None:
        waited.set()
        await asyncio.sleep(0.01)

    redis: Any = RedisAddress(own_server.url).client(timeout_s=PATIENCE_S)
    writer = Writer(redis, KEYS, lease_s=30, retention=Retention(), pause=pause)
    await writer.claim()
    await redis.config_set("appendfsync", "always")
    await writer.commit([mail("Z1")])
    own_server.kill()
    committing = asyncio.create_task(writer.commit([mail("Z2")]))
    await asyncio.wait_for(waited.wait(), PATIENCE_S)
    await asyncio.to_thread(own_server.restart)
    assert await asyncio.wait_for(committing, PATIENCE_S) == [
        Outcome("published", (await redis.hget(KEYS.state(BOB), "epoch")).decode(), 2)
    ]
    assert await redis.xlen(KEYS.events) == 2
    await redis.aclose()
