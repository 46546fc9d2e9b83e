"""Crowds: who is held, who is barred and who is made anew are counted together, and told apart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from bridge.journal.held import Held
from bridge.simulator import Kind, Simulator
from bridge.worker.profiles import ManyRefused
from tests.support.stage import mail
from tests.support.workers import KEYS, Told, simulating

from .conftest import Parts, pulled

USERS = 20
DELETED = "directory.user.deleted"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(USERS) as running:
        yield running


def delete(simulator: Simulator, n: int) -> list[str]:
    """Delete the last ``n`` accounts; their aliases in order."""
    gone = list(simulator.world.accounts)[-n:]
    for alias in gone:
        simulator.world.delete_user(alias)
    return sorted(gone)


async def held(parts: Parts) -> Held:
    found = await parts.mirror.held()
    assert found is not None
    return found


async def test_a_held_account_that_changed_is_the_same_and_one_that_was_added_is_not(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """MOD means that it is there again, with its history; ADD perhaps that somebody else is."""
    gone = list(simulator.world.accounts)[-6:]
    await (await parts.writer()).commit([mail("Z1", mailbox=alias) for alias in gone])
    directory = await parts.directory()
    await pulled(directory)
    accounts = dict(simulator.world.accounts)
    delete(simulator, 6)
    directory.doubt()
    await pulled(directory)
    again, anew, *others = gone
    simulator.world.add_user(anew)
    ver = simulator.world.ver
    lines = f'{{"Action":3,"Alias":"{again}"}},{{"Action":2,"Alias":"{anew}"}}'
    simulator.world.roster.found(accounts[again])
    body = f'{{"Ver":{ver},"Count":2,"List":[{lines}]}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=body, times=1)
    directory.doubt()
    await pulled(directory)
    assert (await held(parts)).aliases == tuple(sorted(others))
    assert [await parts.redis.exists(KEYS.log(alias)) for alias in (again, anew)] == [1, 0]
    assert {address.decode() for address in await parts.redis.zrange(KEYS.moved, 0, -1)} >= {anew}
    assert await parts.redis.zscore(KEYS.moved, again) is None


async def test_many_who_were_made_anew_and_cannot_be_read_are_not_barred(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """A line for everybody, deleted and added, and ``user/get`` broken: that shuts nobody out."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    world = simulator.world
    for alias in list(world.accounts)[-8:]:
        world.delete_user(alias)
        world.add_user(alias)
    simulator.faults.on(Kind.GET_LATE, value=3600)
    directory.doubt()
    for _ in range(3):
        with suppress(ManyRefused):
            await pulled(directory)
    owed = await parts.mirror.owed()
    assert len(owed) == 8
    assert all(each.anew and not each.barred for each in owed.values())
    assert await parts.mirror.barred() == set()


async def test_who_waits_for_his_second_look_is_not_held_with_those_who_come(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """A comparison finds him gone once more, and others with him: they are too many, he was not."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    first = delete(simulator, 4)
    directory.doubt()
    await pulled(directory)
    more = delete(simulator, 4)
    assert (await directory.resync()).held == 4
    assert (await held(parts)).aliases == tuple(more)
    assert set(await parts.mirror.owed()) == set(first)


async def test_who_deletes_one_by_one_is_held_too(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Who is barred and waits for his second look counts as well: more than that are held."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    for _ in range(8):
        delete(simulator, 1)
        directory.doubt()
        await pulled(directory)
    assert len((await held(parts)).aliases) == 3
    assert len(await parts.mirror.barred()) == len(await parts.mirror.owed()) == 5
    assert parts.metric("directory_owed") == 5


async def test_a_single_deletion_is_believed_beside_many_that_are_held_among_many(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Both are counted; together they are no crowd of a company that has grown."""
    directory = await parts.directory()
    await pulled(directory)
    gone = delete(simulator, 6)
    directory.doubt()
    await pulled(directory)
    for number in range(80):
        simulator.world.add_user(f"new{number}@gzdev.com")
    directory.doubt()
    await pulled(directory)
    simulator.world.delete_user("new7@gzdev.com")
    directory.doubt()
    await pulled(directory)
    assert [data["alias"] for data in await told.data(DELETED)] == ["new7@gzdev.com"]
    assert (await held(parts)).aliases == tuple(gone)


async def test_a_held_account_that_was_added_and_cannot_be_read_is_not_barred(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """It waits for a decision like the others, and keeps what it had; who it is now is owed."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    gone = delete(simulator, 6)
    directory.doubt()
    await pulled(directory)
    simulator.world.add_user(gone[0])
    simulator.faults.on(Kind.GET_LATE, value=3600)
    directory.doubt()
    await pulled(directory)
    assert (await held(parts)).aliases == tuple(gone)
    assert await parts.mirror.barred() == set()
    assert {alias: each.anew for alias, each in (await parts.mirror.owed()).items()} == {gone[0]: True}


async def test_how_long_a_decision_is_waited_for_is_shown(parts: Parts, simulator: Simulator, told: Told) -> None:
    """By Redis's clock, from the first of them on; 0 when it is made."""
    directory = await parts.directory()
    await pulled(directory)
    delete(simulator, 6)
    directory.doubt()
    await pulled(directory)
    found = await held(parts)
    old = replace(found, since=found.since - 3_600_000)
    await parts.redis.set(KEYS.held, old.as_json())
    after = await parts.directory()
    assert 3600 <= parts.metric("directory_held_age_seconds") < 3700
    simulator.world.delete_user(next(iter(simulator.world.accounts)))
    await pulled(after)
    assert (await held(parts)).since == old.since
    await after.refuse((await held(parts)).digest)
    assert parts.metric("directory_held_age_seconds") == 0


async def test_what_an_earlier_version_held_waits_on(parts: Parts, simulator: Simulator, told: Told) -> None:
    """It left the cursor where it was, so that the same lines come again: they are the same deletions."""
    directory = await parts.directory()
    await pulled(directory)
    before = directory.cursor
    gone = delete(simulator, 6)
    old = Held(1795497613538, before, simulator.world.ver, "delta", "it would delete too many accounts", tuple(gone))
    await parts.redis.set(KEYS.held, old.as_json())
    after = await parts.directory()
    await pulled(after)
    assert await held(parts) == old
    assert after.cursor == simulator.world.ver > before
    assert await told.data("directory.held") == []
    assert await parts.mirror.barred() == set()
    assert (await after.release(old.digest)).deleted == 6
