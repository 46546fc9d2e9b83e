"""Redis went back, and how that is known: what was sent and not answered, another process, who remembers more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.events import Position
from bridge.journal.calls import Carry, Forget
from bridge.journal.errors import JournalAway
from bridge.journal.inquiry import Inquiries, Memory, memory_as_answer, memory_of, merged, read_question
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S, until

from .conftest import BOB, KEYS, mail

ANOTHER = "1" * 40
ANN = "ann@gzdev.com"


def remembering(memory: Memory) -> Any:
    async def recollect() -> Memory:
        return memory

    return recollect


async def test_what_was_published_and_lost_is_not_given_its_position_again(new_writer: Any, redis: Any) -> None:
    """The commit's answer was lost, and so was the commit: Redis restarted within the lease. A new generation."""
    writer: Writer = new_writer(pause=lambda seconds: _nothing())
    await writer.claim()
    [first] = await writer.commit([mail("Z1")])
    run = writer._script.run

    async def lost(calls: Any) -> Any:
        writer._script.run = run  # type: ignore[method-assign]
        # Another process with the data of before: its run id is another.
        await redis.set(KEYS.server, ANOTHER)
        raise JournalAway("the answer was lost")

    writer._script.run = lost  # type: ignore[method-assign]
    writer._server = ANOTHER
    [second] = await writer.commit([mail("Z2")])
    assert (second.result, second.seq) == ("published", 1)
    assert second.epoch != first.epoch


async def _nothing() -> None:
    """No pause."""


async def test_a_failover_that_lost_nothing_resets_nobody(new_writer: Any, redis: Any) -> None:
    """Everything that was sent is there, and the lease stands: the epoch goes on."""
    writer: Writer = new_writer()
    await writer.claim()
    [first] = await writer.commit([mail("Z1")])
    writer._server = ANOTHER
    [second] = await writer.commit([mail("Z2")])
    assert (second.epoch, second.seq) == (first.epoch, 2)


async def test_one_restart_is_one_generation(new_writer: Any, redis: Any) -> None:
    """Who begins to lead after a restart begins a generation; the next, who saw the server of before, need not."""
    former, next_one, standby = new_writer(), new_writer(), new_writer()
    before = await former.claim()
    await standby.claim()
    await former.release()
    await redis.set(KEYS.server, ANOTHER)
    for writer in (former, next_one, standby):
        writer._server = ANOTHER  # they were answered by the process of before
    first = await next_one.claim()
    await next_one.release()
    second = await standby.claim()
    await standby.release()
    third = await former.claim()
    assert first.generation > before.generation
    assert [claimed.generation for claimed in (second, third)] == [first.generation] * 2


@pytest.mark.parametrize("led", [True, False])
async def test_the_server_of_before_is_remembered_while_nothing_newer_began_here(
    new_writer: Any, redis: Any, led: bool
) -> None:
    """An old server again, whose generation is the one that was told or seen on the other: it knows less."""
    holder, other = new_writer(), new_writer()
    first = await holder.claim()
    if led:
        await holder.release()
        await other.claim()
        await other.release()
    else:
        await other.claim()
        await holder.release()
    other._server = ANOTHER
    again = await other.claim()
    assert again.generation > first.generation


@pytest.mark.parametrize(
    "more",
    [
        {"generation": 1},
        {"commits": 1},
        {"seq": 1},
        {"epoch": "another0"},
        {"stream": "new@gzdev.com"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_whoever_remembers_more_is_believed(
    new_writer: Any, redis: Any, reader: Reader, more: dict[str, Any]
) -> None:
    """A later generation, more commits, a later seq, another epoch, a mailbox that is not here."""
    first: Writer = new_writer()
    await first.claim()
    [outcome] = await first.commit([mail("Z1")])
    await first.release()
    memory = Memory(
        first.generation + more.get("generation", 0),
        1 + more.get("commits", 0),
        {more.get("stream", BOB): (more.get("epoch", outcome.epoch), 1 + more.get("seq", 0))},
    )
    second: Writer = new_writer(recollect=remembering(memory))
    await second.claim()
    [anew] = await second.commit([mail("Z2")])
    assert second.generation > memory.generation
    assert (anew.seq, anew.epoch == outcome.epoch) == (1, False)


@pytest.mark.parametrize("less", [{"generation": -1, "commits": 5, "seq": 9}, {"commits": -1}, {"seq": -1}, {}])
async def test_whoever_remembers_no_more_resets_nobody(new_writer: Any, less: dict[str, int]) -> None:
    """An older generation proves nothing, whatever its numbers; nor does what this server has, or more of it."""
    first: Writer = new_writer()
    await first.claim()
    await first.commit([mail("Z0")])
    [outcome] = await first.commit([mail("Z1")])
    await first.release()
    memory = Memory(
        first.generation + less.get("generation", 0),
        2 + less.get("commits", 0),
        {BOB: (outcome.epoch, 2 + less.get("seq", 0))},
    )
    second: Writer = new_writer(recollect=remembering(memory))
    await second.claim()
    [next] = await second.commit([mail("Z2")])
    assert (next.epoch, next.seq) == (outcome.epoch, 3)


@pytest.mark.parametrize("gone", ["forgotten", "anew", "carried", "carried over an opened one"])
async def test_what_redis_was_told_to_forget_it_did_not_lose(
    new_writer: Any, redis: Any, reader: Reader, gone: str
) -> None:
    """Who left, or has another address now, is remembered by an edge for a while; nobody else is reset for that."""
    other = "other@gzdev.com"
    first: Writer = new_writer()
    await first.claim()
    [kept, outcome] = await first.commit([mail("Z1", mailbox=ANN), mail("Z2")])
    opened = (await reader.open([OpenRequest(other)]))[0] if gone == "carried over an opened one" else None
    await first.commit([Carry(other, BOB) if gone.startswith("carried") else Forget(BOB, anew=gone == "anew")])
    await first.release()
    positions = {BOB: (outcome.epoch, outcome.seq)}
    if opened is not None:
        positions[other] = (opened.top.epoch, opened.top.seq)
    second: Writer = new_writer(recollect=remembering(Memory(first.generation, 2, positions)))
    await second.claim()
    [next] = await second.commit([mail("Z3", mailbox=ANN)])
    assert second.generation == first.generation
    assert (next.epoch, next.seq) == (kept.epoch, 2)
    assert 0 < await redis.pttl(KEYS.forgotten) <= 86_400_000


async def test_ids_grow_on_an_empty_server_whose_clock_is_behind(new_writer: Any, redis: Any) -> None:
    """Whoever reads the stream waits for ids above the one that it has."""
    far = 4_000_000_000_000
    writer: Writer = new_writer(recollect=remembering(Memory(far)))
    await writer.claim()
    await writer.commit([mail("Z1")])
    [(id, _)] = await redis.xrange(KEYS.events)
    assert id == f"{far + 1}-0".encode()


async def test_a_leader_remembers_its_own_generation_over_an_empty_server(new_writer: Any, redis: Any) -> None:
    """FLUSHALL, and a clock that is behind."""
    writer: Writer = new_writer()
    await writer.claim()
    writer._generation = 4_000_000_000_000
    await redis.flushall()
    await writer.commit([mail("Z1")])
    assert writer.generation == 4_000_000_000_001


async def test_a_position_that_is_ahead_begins_an_epoch_for_its_mailbox_alone(
    writer: Writer, redis: Any, reader: Reader
) -> None:
    """What it was followed by is not known here; nobody else is reset by what one browser says."""
    [bob, ann] = await writer.commit([mail("Z1"), mail("Z2", mailbox="ann@gzdev.com")])
    [opened] = await reader.open([OpenRequest(BOB, Position(bob.epoch, 30))])
    assert (opened.status, opened.ahead, opened.top.seq) == ("epoch", True, 0)
    assert opened.top.epoch != bob.epoch
    [other] = await reader.open([OpenRequest("ann@gzdev.com", Position(ann.epoch, 1))])
    assert other.status == "resumed"
    [next] = await writer.commit([mail("Z3")])
    assert (next.epoch, next.seq) == (opened.top.epoch, 1)
    [again] = await reader.open([OpenRequest(BOB, opened.top)])
    assert (again.status, again.ahead, len(again.events)) == ("resumed", False, 1)


async def test_whoever_is_patient_is_told_that_his_position_is_ahead_and_begins_nothing(
    writer: Writer, redis: Any, reader: Reader
) -> None:
    """A leader may be about to begin a generation for all."""
    [bob] = await writer.commit([mail("Z1")])
    before = await redis.dump(KEYS.state(BOB))
    [told] = await reader.open([OpenRequest(BOB, Position(bob.epoch, 30), patient=True)])
    assert (told.status, told.events) == ("ahead", [])
    assert await redis.dump(KEYS.state(BOB)) == before
    [resumed] = await reader.open([OpenRequest(BOB, Position(bob.epoch, 1), patient=True)])
    assert resumed.status == "resumed"


async def test_edges_are_asked_until_one_hears(redis: Any) -> None:
    """Where nobody is subscribed the time runs out; an answer that is none counts as nothing remembered."""
    inquiries = Inquiries(redis, KEYS)
    assert await inquiries.recollect(within_s=0) == Memory()
    pubsub = redis.pubsub()
    memory = Memory(7, 3, {BOB: ("abcdefgh", 2)})
    asked = await looks(redis)
    asking = asyncio.create_task(inquiries.recollect(within_s=PATIENCE_S))
    await until(lambda: have_grown(redis, asked + 2))
    await pubsub.subscribe(KEYS.inquiry_channel)
    await pubsub.get_message(timeout=PATIENCE_S)
    while (message := await pubsub.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)) is None:
        continue
    question = read_question(message["data"])
    assert question is not None
    assert question.about == "memory"
    # Who has heard it is not asked again.
    asked = await looks(redis)
    await until(lambda: have_grown(redis, asked + 3))
    assert await pubsub.get_message(ignore_subscribe_messages=True, timeout=0) is None
    await inquiries.answer(question.id, memory_as_answer(memory))
    assert await asking == memory
    await pubsub.aclose()


async def looks(redis: Any) -> int:
    """How often answers were looked for so far."""
    found: int = (await redis.info("commandstats")).get("cmdstat_lrange", {}).get("calls", 0)
    return found


async def have_grown(redis: Any, least: int) -> bool:
    return await looks(redis) >= least


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"generation": "7", "commits": 0, "positions": {}},
        {"generation": True, "commits": 0, "positions": {}},
        {"generation": -1, "commits": 0, "positions": {}},
        {"generation": 2**60, "commits": 0, "positions": {}},
        {"generation": 10**14, "commits": 0, "positions": {}},
        {"generation": 1, "commits": 0, "positions": []},
        {"generation": 1, "commits": 0, "positions": {BOB: 3}},
        {"generation": 1, "commits": 0, "positions": {BOB: ["abcdefgh", "3"]}},
        {"generation": 1, "commits": 2**53, "positions": {}},
        {"generation": 1, "commits": True, "positions": {}},
    ],
)
def test_what_is_no_recollection_is_none(answer: dict[str, Any]) -> None:
    """Whoever may answer could answer anything."""
    assert memory_of(answer) == Memory()


def test_recollections_are_put_together() -> None:
    """Of the greatest generation alone; of one epoch the later seq."""
    memories = [
        Memory(1, 99, {BOB: ("zzzzzzzz", 99)}),
        Memory(2, 3, {BOB: ("abcdefgh", 4)}),
        Memory(2, 5, {BOB: ("abcdefgh", 2), "ann@gzdev.com": ("abcdefgh", 1)}),
    ]
    together = Memory(2, 5, {BOB: ("abcdefgh", 4), "ann@gzdev.com": ("abcdefgh", 1)})
    assert merged(memories) == together
    assert merged(memories[::-1]) == together
    assert merged([]) == Memory()


def test_of_two_epochs_the_one_heard_of_first_counts() -> None:
    """Neither is later than the other; a seq of the one says nothing about the other."""
    memories = [Memory(2, 5, {BOB: ("abcdefgh", 4)}), Memory(2, 5, {BOB: ("zyxwvuts", 9)})]
    assert merged(memories) == Memory(2, 5, {BOB: ("abcdefgh", 4)})


def test_a_position_that_can_be_none_is_left_out() -> None:
    """The others of the same answer count."""
    positions = {BOB: ["no epoch", 3], "a@x.cn": [7, 3], "b@x.cn": ["abcdefgh", 3]}
    assert memory_of({"generation": 1, "commits": 0, "positions": positions}) == Memory(
        1, 0, {"b@x.cn": ("abcdefgh", 3)}
    )


async def test_what_edges_answer_is_bounded_and_goes_by_itself(redis: Any) -> None:
    """Whoever may answer could answer without end."""
    key = KEYS.testimony("0123456789abcdef")
    await redis.rpush(key, *(b"{}" for _ in range(1500)))
    await Inquiries(redis, KEYS).answer("0123456789abcdef", {"edge": "late"})
    assert await redis.llen(key) == 1000
    assert 0 < await redis.ttl(key) <= 60
