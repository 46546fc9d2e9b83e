"""When what is owed is asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import pytest

from bridge.journal.owed import Owed
from bridge.simulator import Kind, Simulator
from bridge.worker.allowance import Allowance
from bridge.worker.debts import Debts, Timetable
from bridge.worker.directory import DirectoryPace
from bridge.worker.guard import Guard
from bridge.worker.known import Known
from bridge.worker.notices import Notices
from bridge.worker.registrar import Registrar
from bridge.worker.scribe import Scribe
from tests.support.workers import BOB, KEYS, Told, simulating

from .conftest import ALL_FIELDS, Parts, nothing_waits, pulled


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(20) as running:
        yield running


async def test_some_who_cannot_be_read_keep_nobody_else_waiting(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Refused alike, and first in the row, they stop the asking for a moment, but not for the others after it."""
    await pulled(await parts.directory())
    accounts = sorted(simulator.world.accounts)
    for alias in accounts:
        await parts.redis.hset(KEYS.owed, alias, Owed(1, "unreadable").as_json())
    now = 0.0
    timetable = Timetable(second_look_s=0, now=lambda: now)
    debts, _ = await settling(parts, timetable)
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999, times=5)
    assert not await debts.settle()
    now += 5
    order = timetable.due()
    assert set(order) == set(await parts.mirror.owed())
    # Eight are asked at a time, five of them stopped it.
    assert set(order[-5:]) < set(accounts[:8])
    assert not await debts.settle()
    assert await parts.mirror.owed() == {}


async def test_whoever_is_answered_in_between_rests_no_longer_than_before(parts: Parts, simulator: Simulator) -> None:
    """An answer ends what the refusals before it had come to."""
    await pulled(await parts.directory())
    now = 0.0
    timetable = Timetable(second_look_s=0, now=lambda: now)
    debts, known = await settling(parts, timetable)
    rests = []
    for times in (5, 5, 0, 5):
        for alias in simulator.world.accounts:
            await parts.redis.hset(KEYS.owed, alias, Owed(1 + times, "unreadable").as_json())
        await known.read(parts.mirror)
        if times:
            simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999, times=times)
        await debts.settle()
        if times:
            rests.append(timetable.next_s() or 0)
            now += rests[-1]
    assert rests == [5, 10, 5]


async def test_who_never_was_there_is_owed_no_longer_whatever_was_said_before(parts: Parts) -> None:
    """Once it is said that there is no such account, a day after it was listed; at most so many at a time."""
    await pulled(await parts.directory())
    for number in range(150):
        await parts.redis.hset(KEYS.owed, f"nobody{number}@gzdev.com", Owed(1, "unreadable").as_json())
    debts, _ = await settling(parts, Timetable(second_look_s=0))
    assert await debts.settle() is True
    assert len(await parts.mirror.owed()) == 50
    assert await debts.settle() is False
    assert await parts.mirror.owed() == {}


async def test_a_line_that_is_to_come_withholds_nobody_who_merely_was_not_read(parts: Parts) -> None:
    """Whose he is was never in doubt: what is found of him is stored, and the line finds nothing new."""
    await pulled(await parts.directory())
    await parts.redis.hset(KEYS.owed, BOB, Owed(1, "unreadable").as_json())
    await parts.redis.hset(KEYS.directory, BOB, b'{"alias":"bob@gzdev.com","name":"Before"}')
    debts, _ = await settling(parts, Timetable(second_look_s=0), BOB)
    await debts.settle()
    assert await parts.mirror.owed() == {}
    assert b"Before" not in await parts.redis.hget(KEYS.directory, BOB)


async def settling(parts: Parts, timetable: Timetable, *names: str) -> tuple[Debts, Known]:
    """A new leader's debts, with what it knows of the mirror; ``names`` are in lines that are not applied yet."""
    known = Known({}, parts.metrics, cursor_of=parts.members.cursor_of)
    await known.read(parts.mirror)
    registrar = Registrar(
        Scribe(await parts.writer(), known, settled=nothing_waits),
        parts.mirror,
        Notices("exmail", parts.wall),
        Guard(),
        parts.appeared.append,
    )

    async def named() -> Collection[str]:
        return names

    return Debts(parts.members, registrar, ALL_FIELDS, timetable, Allowance(), named=named), known


def test_who_goes_on_to_be_owed_is_asked_ever_more_seldom() -> None:
    """Not before the second look, then after twice the time, up to an hour; who is owed anew begins anew."""
    now = 0.0
    timetable = Timetable(second_look_s=2, now=lambda: now)
    timetable.follow({BOB: Owed(1, "deleted")})
    waits = []
    for _ in range(14):
        assert timetable.due() == []
        waits.append(wait_s := timetable.next_s() or 0)
        now += wait_s
        assert timetable.due() == [BOB]
        timetable.in_vain([BOB])
    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == waits[-1] == 3600
    timetable.follow({BOB: Owed(1, "deleted")})
    assert timetable.next_s() == 3600
    timetable.follow({BOB: Owed(2, "deleted")})
    assert timetable.next_s() == 2
    timetable.follow({})
    assert timetable.next_s() is None


def test_a_second_look_is_taken_two_seconds_later() -> None:
    """A push outruns the provider's data; who has left must not stay for long."""
    assert DirectoryPace().second_look_s == 2


def test_a_provider_that_refuses_all_is_left_in_peace() -> None:
    """Longer each time, and no longer once it answers; at most so many are asked at a time."""
    now = 0.0
    timetable = Timetable(second_look_s=0, now=lambda: now)
    timetable.follow({f"u{number}@x.cn": Owed(1, "missing") for number in range(500)})
    assert len(timetable.due()) == 100
    rests = []
    for _ in range(10):
        timetable.rest()
        assert timetable.due() == []
        rests.append(rest_s := timetable.next_s() or 0)
        now += rest_s
        assert len(timetable.due()) == 100
    assert rests[:3] == [5, 10, 20]
    assert rests[-1] == 60
    timetable.rested()
    timetable.rest()
    assert timetable.next_s() == 5
