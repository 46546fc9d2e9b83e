"""``BRIDGE_WORKER_NEWCOUNT_SWEEP``: whether counts that nobody looks at are asked for after a gap."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from bridge.events import SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.simulator import Kind, Simulator
from tests.support.waiting import until
from tests.support.workers import KEYS, Told, running_worker, simulating

from .conftest import Parts
from .test_listen_to_events import listening
from .test_reconcile_counts import answered, asked, count, running

USERS = 450
"""More than two pieces of what is looked at together."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(USERS) as running:
        yield running


async def stored(parts: Parts, simulator: Simulator, aliases: list[str]) -> None:
    """A mirror of everybody, right counts of these, which nobody was active with lately, and a gap since."""
    reconciler = await parts.reconciler()
    await parts.redis.hset(KEYS.directory, mapping=dict.fromkeys(simulator.world.accounts, "{}"))
    await reconciler._writer.commit([count(alias, simulator.world.unread[alias]) for alias in aliases])
    event = build_event(namespace="exmail", stream=SYSTEM, type="exmail.upstream.missed", time_s=0, data={})
    await reconciler._writer.commit([Announce(event, {"gap": "1"})])
    await parts.redis.xtrim(KEYS.events, maxlen=0, approximate=False)


async def test_off_asks_nobody_else(parts: Parts, simulator: Simulator) -> None:
    """Whoever is online, and nobody beside him, however doubtful the others' counts are."""
    everybody = list(simulator.world.accounts)
    await stored(parts, simulator, everybody)
    await parts.redis.zadd(KEYS.online, {everybody[-1]: time.time() + 3600})
    reconciler = await parts.reconciler()
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 1)
        await until(lambda: not reconciler.agenda._gap.is_set() and not reconciler.agenda._asked_for)
        assert not reconciler.agenda._swept
    assert asked(simulator) == [everybody[-1]]


async def test_on_asks_for_every_stored_count_last_of_all_and_once(parts: Parts, simulator: Simulator) -> None:
    """Whoever is online comes first; whose count was never stored has nothing that could be wrong."""
    everybody = sorted(simulator.world.accounts)
    *others, online = everybody
    await stored(parts, simulator, [*everybody[:-50], online])
    await parts.redis.zadd(KEYS.online, {online: time.time() + 3600})
    reconciler = await parts.reconciler(sweep=True, settle_s=0)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, USERS - 49)
    # Four ask side by side.
    assert online in asked(simulator)[:4]
    assert sorted(asked(simulator)) == sorted([online, *others[: USERS - 50]])


async def test_who_is_wanted_waits_for_no_sweep(parts: Parts, simulator: Simulator) -> None:
    """A browser that opens in the middle of one has its count before the rest."""
    everybody = sorted(simulator.world.accounts)
    wanted = everybody[-1]
    await stored(parts, simulator, everybody)
    # A budget that nobody can save up: while this test stands still the others do not overtake it.
    reconciler = await parts.reconciler(sweep=True, rate=10)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await simulator.calls.wait("mail/newcount")
        await parts.redis.hdel(KEYS.state(wanted), "unread")
        await parts.redis.sadd(KEYS.wanted, wanted)
        await until(lambda: wanted in asked(simulator))
        # Four were under way, and four may have been taken when it came; some more until it was looked for.
        assert asked(simulator).index(wanted) <= 40


async def test_a_sweep_keeps_within_the_budget(parts: Parts, simulator: Simulator) -> None:
    """One call in 1000 seconds is one call, and no more than a piece is kept in memory."""
    everybody = sorted(simulator.world.accounts)
    await stored(parts, simulator, everybody)
    reconciler = await parts.reconciler(sweep=True, rate=0.001)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await until(lambda: len(reconciler.agenda._asked_for) == 4)
        await answered(parts, 1)
        assert len(reconciler.agenda._swept) <= 200
    assert len(asked(simulator)) == 1


async def test_counts_of_an_older_generation_are_doubtful_too(parts: Parts, simulator: Simulator) -> None:
    """Redis was started anew with a new run id: every stored count counts as absent, and nobody else asks for it."""
    everybody = sorted(simulator.world.accounts)[:5]
    await stored(parts, simulator, everybody)
    writer = await parts.writer()
    await parts.redis.set(KEYS.generation, writer.generation + 1)
    counted, _ = await parts.mirror.counted([*everybody, "nobody@gzdev.com"])
    assert [(each.seq, each.doubtful) for each in counted] == [(0, True)] * 5 + [(0, False)]


async def test_a_service_is_told_what_everybody_missed(redis_url: str, simulator: Simulator, told: Told) -> None:
    """With ``on`` the stream has ``mail.missed`` for a mailbox that no browser has open and that was long quiet."""
    quiet = sorted(simulator.world.accounts)[7]
    async with running_worker(redis_url, simulator, BRIDGE_WORKER_NEWCOUNT_SWEEP="on"):
        await listening(simulator, told)
        simulator.world.deliver_mail(quiet)
        await told.wait_mails(1)
        await told.redis.xtrim(KEYS.events, maxlen=0, approximate=False)
        simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=1002)
        simulator.cut()
        await told.wait("upstream.disconnected")
        simulator.world.deliver_many(2, quiet)
        simulator.faults.clear()
        [missed] = await told.wait("mail.missed")
    assert (missed["mailbox"], missed["at_least"]) == (quiet, 2)
