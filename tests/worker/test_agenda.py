"""The order in which counts are asked for, and what is asked for once."""

from __future__ import annotations

import asyncio

from bridge.simulator import Simulator
from bridge.worker.agenda import Agenda, Item
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import KEYS, Told, running_worker

from .test_listen_to_events import listening
from .test_reconcile_counts import NOBODY, asked

A, B, C = "a@x.cn", "b@x.cn", "c@x.cn"


async def taken(agenda: Agenda, n: int) -> list[tuple[str, bool]]:
    """The next mailboxes, and whether their counts are doubtful."""
    async with asyncio.timeout(PATIENCE_S):
        items = [await agenda.take() for _ in range(n)]
    for item in items:
        agenda.done(item)
    return [(item.mailbox, item.doubtful) for item in items]


async def test_who_is_looked_at_comes_first_and_what_is_swept_last() -> None:
    """Only a count that somebody merely looks at may be fresh enough."""
    agenda = Agenda()
    agenda.sweep([C])
    agenda.changed([B])
    agenda.opened([A])
    assert await taken(agenda, 3) == [(A, False), (B, True), (C, True)]


async def test_a_mailbox_is_asked_for_once_however_often_it_is_wanted() -> None:
    """With what the most doubtful of those want."""
    agenda = Agenda()
    for _ in range(3):
        agenda.sweep([A])
        agenda.opened([A, B])
        agenda.changed([A])
    assert await taken(agenda, 2) == [(A, True), (B, False)]
    agenda.opened([C])
    assert await taken(agenda, 1) == [(C, False)]


async def test_who_is_being_asked_for_has_the_answer_coming() -> None:
    """Opened once more meanwhile it is not asked for again; changed meanwhile it is."""
    agenda = Agenda()
    agenda.opened([A])
    item = await agenda.take()
    agenda.opened([A])
    agenda.changed([B])
    assert await taken(agenda, 1) == [(B, True)]
    agenda.changed([A])
    assert await taken(agenda, 1) == [(A, True)]
    agenda.done(item)
    agenda.opened([A])
    assert await taken(agenda, 1) == [(A, False)]


async def test_what_is_asked_once_more_keeps_its_place() -> None:
    """A doubt stays one, and whoever is looked at goes on to be."""
    agenda = Agenda()
    agenda.opened([A])
    agenda.sweep([B])
    for item in (await agenda.take(), await agenda.take()):
        agenda.again(item)
    assert await taken(agenda, 2) == [(A, False), (B, True)]


async def test_what_rests_lets_others_have_their_turn() -> None:
    """And comes back by itself; nothing comes back once the agenda is closed."""
    agenda = Agenda()
    agenda.opened([A])
    agenda.rest(await agenda.take(), 0.01)
    agenda.opened([B])
    assert await taken(agenda, 2) == [(B, False), (A, False)]
    agenda.rest(Item(C, True, {}), 3600)
    agenda.close()
    assert not agenda._resting


async def test_whom_the_provider_does_not_know_is_left_alone_until_he_appears() -> None:
    """For a while, whoever wants him."""
    now = 0.0
    agenda = Agenda(now=lambda: now)
    agenda.leave_alone(A, 600)
    agenda.opened([A, B])
    assert await taken(agenda, 1) == [(B, False)]
    agenda.appeared(B)
    agenda.appeared(A)
    assert await taken(agenda, 1) == [(A, True)]
    agenda.leave_alone(A, 600)
    now = 601
    agenda.changed([A])
    assert await taken(agenda, 1) == [(A, True)]


async def test_a_sweep_waits_until_its_last_piece_is_taken() -> None:
    """However long the rest has to wait; a new gap ends the sweep instead, because it begins another."""
    agenda = Agenda()
    agenda.sweep([A])
    waiting = asyncio.create_task(agenda.room())
    assert await taken(agenda, 1) == [(A, True)]
    assert await waiting
    agenda.sweep([B])
    waiting = asyncio.create_task(agenda.room())
    agenda.after_gap()
    assert not await waiting
    await agenda.gap()
    assert await taken(agenda, 1) == [(B, True)]
    assert await agenda.room()


async def test_a_leader_hears_of_a_mailbox_that_appears(redis_url: str, simulator: Simulator, told: Told) -> None:
    """From the directory: whoever opened it before the provider knew of it has the count as soon as it does."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        await told.redis.sadd(KEYS.wanted, NOBODY)
        await until(lambda: worker.metric("reconciled_total", result="failed") == 1)
        simulator.world.add_user(NOBODY, name="Somebody")
        await until(lambda: asked(simulator).count(NOBODY) == 2)
