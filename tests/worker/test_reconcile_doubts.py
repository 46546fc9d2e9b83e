"""The second answer of a doubtful count: when it is asked for, and how much of it counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf

from bridge.simulator import Simulator
from bridge.worker.reconcile import Reconciler
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told

from .conftest import Parts
from .test_reconcile_counts import GAP, answered, asked, count, running


@dataclass(slots=True)
class Hearing:
    """A session that stands: when its last byte came (at first long ago), and how often that was asked."""

    heard: float = -inf
    looks: int = 0

    def __call__(self) -> tuple[int, float]:
        self.looks += 1
        return 1, self.heard


async def doubting(parts: Parts, simulator: Simulator) -> tuple[Reconciler, Hearing]:
    """Bob misses one mail."""
    hearing = Hearing()
    reconciler = await parts.reconciler(hearing=hearing)
    await reconciler._writer.commit([count(BOB, simulator.world.unread[BOB] - 1), GAP])
    await parts.redis.zadd(KEYS.online, {BOB: time.time() + 3600})
    return reconciler, hearing


async def test_the_second_answer_waits_for_a_sign_of_life(parts: Parts, simulator: Simulator, told: Told) -> None:
    """However often its turn comes: a dead connection keeps the pushes back, and counts do not wait for them."""
    reconciler, hearing = await doubting(parts, simulator)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await until(lambda: hearing.looks >= 5)
        assert asked(simulator) == [BOB]
        assert not await told.data("mail.missed")
        hearing.heard = inf
        [missed] = await told.wait("mail.missed")
    assert missed["at_least"] == 1
    assert asked(simulator) == [BOB, BOB]


async def test_a_push_in_between_makes_it_the_first_again(parts: Parts, simulator: Simulator, told: Told) -> None:
    """What the first answer said is not the state of now."""
    reconciler, hearing = await doubting(parts, simulator)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 1)
        await until(lambda: BOB in reconciler._suspected)
        await reconciler._writer.commit([count(BOB, simulator.world.unread[BOB] + 7)])
        hearing.heard = inf
        await told.wait("mail.missed")
    assert asked(simulator) == [BOB] * 3


async def test_no_more_of_it_counts_than_the_first_answer_knew(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A mail that came in between may be under way still."""
    reconciler, hearing = await doubting(parts, simulator)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 1)
        await until(lambda: BOB in reconciler._suspected)
        simulator.world.deliver_mail(BOB)
        hearing.heard = inf
        [missed] = await told.wait("mail.missed")
    assert missed["at_least"] == 1
