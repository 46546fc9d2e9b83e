"""Counts that are asked for: whose, how often, and which answer applies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from bridge.events import DIRECTORY, MAIL_UNREAD, SYSTEM, build_event
from bridge.journal.calls import Announce, RecordCount
from bridge.journal.connect import RedisAddress
from bridge.journal.mirror import Mirror
from bridge.provider.bizmail.calls import AWAY_TRIES
from bridge.provider.pace import Pace
from bridge.simulator import Kind, Simulator
from bridge.worker.reconcile import Reconciler
from tests.support.redis_proxy import redis_proxy
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told

from .conftest import Parts

NOBODY = "nobody@gzdev.com"
GAP = Announce(
    build_event(namespace="exmail", stream=SYSTEM, type="exmail.upstream.missed", time_s=0, data={}), {"gap": "+1"}
)


@asynccontextmanager
async def running(reconciler: Reconciler) -> AsyncIterator[None]:
    task = asyncio.create_task(reconciler.run(), name="reconcile")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


def count(mailbox: str, unread: int) -> RecordCount:
    data = {"mailbox": mailbox, "reason": "push", "unread": unread}
    event = build_event(namespace="exmail", stream=mailbox, type=MAIL_UNREAD, time_s=0, data=data, stamped=True)
    return RecordCount(event, unread)


def asked(simulator: Simulator) -> list[str]:
    """Whose counts were asked for, in order."""
    return [call.params["alias"][0] for call in simulator.calls.of("mail/newcount")]


async def want(parts: Parts, *mailboxes: str) -> None:
    await parts.redis.sadd(KEYS.wanted, *mailboxes)


async def answered(parts: Parts, n: int, *results: str) -> None:
    """Wait until ``n`` questions have come to an end."""
    results = results or ("corrected", "right", "failed")
    await until(lambda: sum(parts.metric("reconciled_total", result=each) for each in results) >= n)


async def test_after_a_gap_the_counts_of_online_and_active_mailboxes_are_right(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Corrected where they drifted (``reason: reconcile``), silent where they are right, nobody else is asked."""
    online, active, right, other, expired = simulator.world.accounts
    reconciler = await parts.reconciler()
    unread = simulator.world.unread
    await parts.redis.zadd(KEYS.online, {online: time.time() + 3600, expired: time.time() - 60})
    await reconciler._writer.commit([count(active, unread[active] + 3), count(right, unread[right])])
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 3)
    assert sorted(asked(simulator)) == sorted([online, active, right])
    events = [event for event in await told.data("mail.unread") if event["reason"] == "reconcile"]
    assert {(event["mailbox"], event["unread"]) for event in events} == {
        (online, unread[online]),
        (active, unread[active]),
    }
    assert parts.metric("reconciled_total", result="corrected") == 2
    assert parts.metric("reconciled_total", result="right") == 1
    # Two had a stored count to drift from: by 3 and by 0.
    assert parts.metric("reconcile_drift_messages_sum") == 3
    assert parts.metric("reconcile_drift_messages_count") == 2
    assert await parts.redis.zrange(KEYS.online, 0, -1) == [online.encode()]
    assert other not in asked(simulator)


async def test_a_push_between_question_and_answer_wins_and_is_asked_after(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """The answer belongs to a moment before the push: it is thrown away, and asked for again."""
    truth = simulator.world.unread[BOB]
    reconciler = await parts.reconciler()
    simulator.faults.on(Kind.DELAY, endpoint="mail/newcount", value=0.3, times=1)
    async with running(reconciler):
        await want(parts, BOB)
        await simulator.faults.wait(Kind.DELAY)
        await reconciler._writer.commit([count(BOB, truth + 50)])
        await answered(parts, 1, "moved")
        assert [event["unread"] for event in await told.data("mail.unread")] == [truth + 50]
        # Its count is fresh now and no gap was told of: the push is believed.
        await until(lambda: not reconciler.agenda._asked_for)
    assert asked(simulator) == [BOB]


async def test_after_a_gap_an_answer_that_a_push_overtook_is_asked_for_again(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Doubt remains until an answer applied."""
    truth = simulator.world.unread[BOB]
    await parts.redis.zadd(KEYS.online, {BOB: time.time() + 3600})
    reconciler = await parts.reconciler()
    simulator.faults.on(Kind.DELAY, endpoint="mail/newcount", value=0.3, times=1)
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await simulator.faults.wait(Kind.DELAY)
        await reconciler._writer.commit([count(BOB, truth + 50)])
        await answered(parts, 1, "corrected")
    assert asked(simulator) == [BOB, BOB]
    assert [(e["unread"], e["reason"]) for e in await told.data("mail.unread")] == [
        (truth + 50, "push"),
        (truth, "reconcile"),
    ]


async def test_a_wanted_mailbox_is_asked_for_and_an_unknown_one_once(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """1400: no such account. Browsers that ask again do not make the provider hear it again."""
    reconciler = await parts.reconciler()
    async with running(reconciler):
        await want(parts, NOBODY)
        await answered(parts, 1, "failed")
        await want(parts, NOBODY, BOB)
        await told.wait("mail.unread")
        reconciler.agenda.after_gap()
        await want(parts, NOBODY)
        await until(lambda: _taken(parts))
    assert asked(simulator).count(NOBODY) == 1
    assert BOB in asked(simulator)
    assert not await parts.redis.exists(KEYS.state(NOBODY))


async def test_a_mailbox_that_appears_is_asked_for_at_once(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A browser opened it before the provider knew of it; the news of the account ends the rest."""
    reconciler = await parts.reconciler()
    async with running(reconciler):
        await want(parts, NOBODY)
        await answered(parts, 1, "failed")
        simulator.world.add_user(NOBODY, name="Somebody")
        reconciler.agenda.appeared(BOB)
        reconciler.agenda.appeared(NOBODY)
        [event] = await told.wait("mail.unread")
    assert event["mailbox"] == NOBODY
    assert asked(simulator) == [NOBODY, NOBODY]


async def test_an_errcode_for_one_mailbox_is_not_repeated(parts: Parts, simulator: Simulator) -> None:
    """A refusal that concerns this mailbox only must not turn in a circle."""
    simulator.faults.on(Kind.ERRCODE, endpoint="mail/newcount", value=1999, times=1)
    reconciler = await parts.reconciler()
    async with running(reconciler):
        await want(parts, BOB)
        await answered(parts, 1, "failed")
        await want(parts, BOB)
        await until(lambda: _taken(parts))
    assert asked(simulator) == [BOB]


async def _taken(parts: Parts) -> bool:
    return not await parts.redis.exists(KEYS.wanted)


async def test_a_fresh_count_is_not_asked_for(parts: Parts, simulator: Simulator) -> None:
    """Wanted although it is not old: another worker, or a push, was quicker."""
    reconciler = await parts.reconciler()
    await reconciler._writer.commit([count(BOB, 1)])
    other = list(simulator.world.accounts)[1]
    async with running(reconciler):
        await want(parts, BOB)
        await until(lambda: _taken(parts))
        await want(parts, other)
        await answered(parts, 1)
    assert asked(simulator) == [other]


async def test_an_old_count_is_asked_for(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Older than the limit: believed no more."""
    reconciler = await parts.reconciler(fresh_s=0)
    await reconciler._writer.commit([count(BOB, simulator.world.unread[BOB] + 1)])
    async with running(reconciler):
        await want(parts, BOB)
        await answered(parts, 1, "corrected")
    assert (await told.data("mail.unread"))[-1]["unread"] == simulator.world.unread[BOB]


async def test_many_wants_are_one_call(parts: Parts, simulator: Simulator) -> None:
    """Also those that come while the question is out."""
    simulator.faults.on(Kind.DELAY, endpoint="mail/newcount", value=0.3)
    reconciler = await parts.reconciler()
    async with running(reconciler):
        await want(parts, BOB)
        await simulator.faults.wait(Kind.DELAY)
        for _ in range(3):
            await want(parts, BOB)
            await until(lambda: _taken(parts))
        await answered(parts, 1)
    # A delay strikes when a question arrives.
    assert simulator.faults.struck(Kind.DELAY) == 1


async def test_what_an_absent_provider_did_not_answer_is_asked_for_later(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Nobody has to want it again."""
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="mail/newcount", value=502, times=3 * AWAY_TRIES)
    reconciler = await parts.reconciler()
    async with running(reconciler):
        await want(parts, BOB)
        [event] = await told.wait("mail.unread")
    assert (event["unread"], event["reason"]) == (simulator.world.unread[BOB], "reconcile")
    assert parts.metric("reconciled_total", result="failed") == 3


async def test_questions_wait_for_their_turn(parts: Parts, simulator: Simulator) -> None:
    """A budget of one call in 1000 seconds: one call, however many are wanted; browsers before the rest."""
    wanted, *others = simulator.world.accounts
    await parts.redis.zadd(KEYS.online, dict.fromkeys(others, time.time() + 3600))
    await want(parts, wanted)
    reconciler = await parts.reconciler(rate=0.001)
    async with running(reconciler):
        await answered(parts, 1)
        reconciler.agenda.after_gap()
        # Every asker has taken one and waits.
        await until(lambda: len(reconciler.agenda._asked_for) == 4)
    assert asked(simulator) == [wanted]


async def test_a_gap_that_is_told_while_redis_is_away_is_not_forgotten(
    parts: Parts, simulator: Simulator, redis_url: str
) -> None:
    """Who may notice is asked for when Redis is back, and nobody has to tell of the gap again."""
    await parts.redis.zadd(KEYS.online, {BOB: time.time() + 3600})
    async with redis_proxy(redis_url) as way:
        client = RedisAddress(way.url).client()
        reconciler = await replace(parts, mirror=Mirror(client, KEYS)).reconciler()
        way.closed = True
        async with running(reconciler):
            reconciler.agenda.after_gap()
            # Those that look for wanted counts are turned away too.
            await until(lambda: way.turned_away >= 6)
            way.closed = False
            await answered(parts, 1)
        await client.aclose()
    assert asked(simulator) == [BOB]


async def test_an_answer_beside_pushes_that_are_not_told_accuses_nobody(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Only when all that had come was committed does the same count, asked for twice, prove that mails are missing."""
    turns = 0

    async def caught_up() -> bool:
        nonlocal turns
        turns += 1
        return turns > 3

    reconciler = await parts.reconciler(caught_up=caught_up)
    await reconciler._writer.commit([count(BOB, simulator.world.unread[BOB] - 1), GAP])
    await parts.redis.zadd(KEYS.online, {BOB: time.time() + 3600})
    async with running(reconciler):
        reconciler.agenda.after_gap()
        [missed] = await told.wait("mail.missed")
    assert missed["at_least"] == 1
    assert asked(simulator) == [BOB] * 4


def test_a_budget_spaces_its_turns_evenly() -> None:
    """4 a second: the first at once, then every quarter; time that nobody used is not saved for a burst."""
    now = 100.0
    pace = Pace(4, now=lambda: now)
    assert [pace.turn_s() for _ in range(3)] == [0, 0.25, 0.5]
    now = 200.0
    assert [pace.turn_s() for _ in range(3)] == [0, 0.25, 0.5]
    now = 200.5
    assert pace.turn_s() == 0.25


async def test_a_push_that_just_came_is_given_time(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A push outruns the provider's own count: right after one, the answer could be the older one."""
    await parts.redis.zadd(KEYS.online, {BOB: time.time() + 3600})
    reconciler = await parts.reconciler(settle_s=0.2)
    await reconciler._writer.commit([count(BOB, 99)])
    [pushed], _ = await parts.mirror.counted([BOB])
    assert pushed.as_of is not None
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 1)
    corrected = (await told.data("mail.unread"))[-1]
    assert corrected["as_of"] - pushed.as_of >= 200


async def test_streams_that_are_no_mailboxes_are_not_asked_for(parts: Parts, simulator: Simulator) -> None:
    """``directory`` and ``system`` are among the newest events, and nobody's mailbox."""
    reconciler = await parts.reconciler()
    event = build_event(namespace="exmail", stream=DIRECTORY, type="exmail.x", time_s=0, data={})
    await reconciler._writer.commit([Announce(event), count(BOB, 99)])
    async with running(reconciler):
        reconciler.agenda.after_gap()
        await answered(parts, 1)
    assert asked(simulator) == [BOB]
