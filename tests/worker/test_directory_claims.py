"""Answers of ``user/list`` that are wrong: a Ver that cannot be, a List that is shorter than its Count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.simulator import Kind, Simulator
from tests.support.members import fresh, mirrored
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker, simulating

from .conftest import ALL_FIELDS, Parts, pulled

DELETED = "directory.user.deleted"
USERS = 40


@pytest.fixture
async def simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    async with simulating(getattr(request, "param", USERS)) as running:
        yield running


DAY_MS = 86_400_000

BAD_VERS = [-1, 0, 10**18, "9999999999999999999", "-7", 2**63]


@pytest.mark.parametrize("ver", BAD_VERS)
async def test_a_ver_that_cannot_be_is_no_cursor(parts: Parts, simulator: Simulator, told: Told, ver: int) -> None:
    """Of a first fill, of a delta and of the full pull behind it; the next good answer goes on."""
    simulator.faults.on(Kind.LIST_VER, value=ver)
    directory = await parts.directory()
    await pulled(directory)
    assert not await parts.redis.exists(KEYS.ver)
    simulator.faults.clear()
    directory.doubt()
    await pulled(directory)
    before = simulator.world.ver
    assert directory.cursor == before
    simulator.faults.on(Kind.LIST_VER, value=ver)
    simulator.world.modify_user(BOB, name="Robert")
    directory.doubt()
    await pulled(directory)
    assert await parts.mirror.ver() == before
    simulator.faults.clear()
    directory.doubt()
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)


@pytest.mark.parametrize("stored", ["-1", "0", "9999999999999999999", "1e12", "", "x"])
async def test_a_stored_cursor_that_cannot_be_is_none(
    parts: Parts, simulator: Simulator, told: Told, stored: str
) -> None:
    """An earlier version stored what it was told: everybody is compared, and the cursor is a good one again."""
    await pulled(await parts.directory())
    await parts.redis.set(KEYS.ver, stored)
    simulator.world.modify_user(BOB, name="Robert")
    directory = await parts.directory()
    assert directory.cursor == 0
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await parts.mirror.ver() == directory.cursor == simulator.world.ver
    assert [data["alias"] for data in await told.data("directory.user.updated")] == [BOB]


async def test_a_worker_lives_with_any_ver(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Nothing of that ends it, then or at its next start; mails go on."""
    await told.redis.set(KEYS.ver, "-1")
    for ver in BAD_VERS:
        simulator.faults.on(Kind.LIST_VER, value=ver)
        seen = len(await told.mails())
        async with running_worker(redis_url, simulator):
            await simulator.listeners.wait_hearing()
            simulator.world.deliver_mail(BOB)
            await told.wait_mails(seen + 1)


async def test_a_delta_of_an_old_ver_that_is_refused_becomes_a_comparison(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """The provider forgets what changed so long ago, and says so by an errcode."""
    directory = await parts.directory()
    await pulled(directory)
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/list", value=1999, times=1)
    directory.doubt()
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert directory.cursor == simulator.world.ver


async def test_who_is_missing_in_a_short_listing_is_not_deleted(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Below the guard too. Its lines apply; three times alike the cursor moves, and it is said."""
    directory = await parts.directory()
    await pulled(directory)
    simulator.world.modify_user(BOB, name="Robert")
    before = simulator.calls.count("user/list")
    simulator.faults.on(Kind.LIST_SHORT, endpoint="user/list", value=3)
    applied = await directory.resync()
    assert (applied.updated, applied.gone, applied.held) == (1, 0, 0)
    assert simulator.calls.count("user/list") == before + 3
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await parts.mirror.barred() == set()
    assert await parts.mirror.owed() == {}
    assert directory.cursor == simulator.world.ver
    assert parts.metric("directory_syncs_total", kind="full", outcome="short") == 1
    [held] = await told.data("directory.held")
    assert (held["why"], held["deleted"]) == (f"the listing has {USERS - 3} lines, its Count says {USERS}", 0)


async def test_a_short_listing_of_everything_deletes_by_no_line_either(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """What is wrong in one place may be wrong in another; a delta will say it."""
    directory = await parts.directory()
    await pulled(directory)
    lines = [f'{{"Action":{1 if alias == BOB else 2},"Alias":"{alias}"}}' for alias in simulator.world.accounts]
    body = f'{{"Ver":{simulator.world.ver},"Count":{USERS + 1},"List":[{",".join(lines)}]}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=body)
    assert (await directory.resync()).gone == 0
    assert await parts.mirror.barred() == set()
    assert await parts.mirror.owed() == {}


async def test_a_listing_that_is_whole_the_second_time_is_believed(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """It was asked for again, and now who is left out of it is gone."""
    directory = await parts.directory()
    await pulled(directory)
    simulator.world.delete_user(BOB)
    simulator.faults.on(Kind.LIST_SHORT, endpoint="user/list", value=3, times=1)
    assert (await directory.resync()).gone == 1
    await pulled(directory)
    assert [data["alias"] for data in await told.data(DELETED)] == [BOB]
    assert parts.metric("directory_syncs_total", kind="full", outcome="short") == 0
    assert await told.data("directory.held") == []


async def test_a_delta_that_never_fits_its_count_does_not_stop_deltas(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Perhaps it counts the corporation. Its lines apply, deletions after their second look too."""
    directory = await parts.directory()
    await pulled(directory)
    gone = list(simulator.world.accounts)[-1]
    simulator.world.modify_user(BOB, name="Robert")
    simulator.world.delete_user(gone)
    lines = f'{{"Action":3,"Alias":"{BOB}"}},{{"Action":1,"Alias":"{gone}"}}'
    body = f'{{"Ver":{simulator.world.ver},"Count":{USERS},"List":[{lines}]}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=body, times=3)
    directory.doubt()
    await pulled(directory)
    assert directory.cursor == simulator.world.ver
    assert [data["alias"] for data in await told.data("directory.user.updated", DELETED)] == [BOB, gone]
    assert parts.metric("directory_syncs_total", kind="delta", outcome="short") == 1


async def test_a_delta_that_is_short_in_another_way_each_time_deletes_nobody(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """What it says of who is there applies; the cursor stays, and it is asked for again."""
    directory = await parts.directory()
    await pulled(directory)
    cursor = directory.cursor
    gone = list(simulator.world.accounts)[-1]
    simulator.world.modify_user(BOB, name="Robert")
    simulator.world.delete_user(gone)
    lines = [f'{{"Action":3,"Alias":"{BOB}"}}', f'{{"Action":1,"Alias":"{gone}"}}']
    for count, pattern in enumerate(("user/list", "user/lis*", "user/li*"), 3):
        body = f'{{"Ver":{simulator.world.ver},"Count":{count},"List":[{",".join(lines)}]}}'
        simulator.faults.on(Kind.ANSWER, endpoint=pattern, value=body, times=1)
    directory.doubt()
    await pulled(directory)
    assert directory.cursor == cursor
    assert [data["alias"] for data in await told.data("directory.user.updated")] == [BOB]
    assert await parts.mirror.barred() == set()
    assert await parts.mirror.owed() == {}
    directory.doubt()
    await pulled(directory)
    assert directory.cursor == simulator.world.ver
    assert [data["alias"] for data in await told.data(DELETED)] == [gone]


@pytest.mark.parametrize("simulator", [200], indirect=True)
async def test_who_is_held_costs_nothing_further(parts: Parts, simulator: Simulator, told: Told) -> None:
    """The cursor passes what is held: each later change is asked for once."""
    directory = await parts.directory()
    await pulled(directory)
    for alias in list(simulator.world.accounts)[-30:]:
        simulator.world.delete_user(alias)
    directory.doubt()
    await pulled(directory)
    asked = simulator.calls.count("user/get")
    for number in range(20):
        simulator.world.add_user(f"new{number}@gzdev.com")
        directory.doubt()
        await pulled(directory)
    assert simulator.calls.count("user/get") == asked + 20


async def test_a_ver_that_moves_with_each_answer_is_not_followed_without_end(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Each pull that brings nothing makes the next one wait longer; what really changes ends that."""
    directory = await parts.directory(idle_s=0.02, idle_most_s=0.5)
    await pulled(directory)
    simulator.faults.on(Kind.LIST_VER_MOVES, value=5)
    asked = simulator.calls.count("user/list")
    running = asyncio.create_task(directory.run(lambda: None))

    async def push() -> None:
        # As the provider does: the Ver of each answer is pushed, and a newer one after it.
        while True:
            directory.version(directory.cursor + 5)
            await asyncio.sleep(0)

    pushing = asyncio.create_task(push())
    await asyncio.wait([running], timeout=1)
    assert simulator.calls.count("user/list") - asked < 12
    simulator.world.modify_user(BOB, name="Robert")
    await until(lambda: _is_told(told))
    for task in (running, pushing):
        task.cancel()
    await asyncio.wait([running, pushing])


async def _is_told(told: Told) -> bool:
    return bool(await told.data("directory.user.updated"))


@pytest.mark.parametrize("shift_ms", [-DAY_MS, 2 * DAY_MS])
async def test_a_ver_that_goes_back_or_jumps_is_announced_and_everything_compared(
    parts: Parts, simulator: Simulator, told: Told, shift_ms: int
) -> None:
    """Only real changes come of it, and two answers agree on the Ver: it is the cursor from then on."""
    directory = await parts.directory()
    await pulled(directory)
    before = simulator.world.ver
    simulator.world.modify_user(BOB, name="Robert")
    answered = before + shift_ms
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=answered, times=2)
    directory.doubt()
    await pulled(directory)
    [announced] = await told.data("directory.held")
    assert (announced["from_ver"], announced["to_ver"], announced["deleted"]) == (before, answered, 0)
    assert "Ver" in announced["why"]
    assert [data["alias"] for data in await told.data("directory.user.updated")] == [BOB]
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await parts.mirror.ver() == answered
    assert parts.metric("directory_syncs_total", kind="delta", outcome="refused") == 1
    # The first fill was the other one.
    assert parts.metric("directory_syncs_total", kind="full", outcome="changed") == 2
    assert await told.data(DELETED) == []


async def test_the_second_odd_ver_is_compared_after_a_moment_and_the_next_ones_later_and_later(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """A Ver of the provider's making comes again within minutes: nobody is wrong for ten of them."""
    now = 0.0
    parts.wall = lambda: now
    directory = await parts.directory()
    await pulled(directory)
    mended, value = [], simulator.world.ver
    for number, later_s in enumerate((0, 14, 1, 29, 1, 59, 1, 1200, 14, 1)):
        now += later_s
        value -= 5000
        simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=value, times=2)
        simulator.world.modify_user(BOB, name=f"Robert {number}")
        directory.doubt()
        await pulled(directory)
        mended.append(len(await told.data("directory.user.updated")))
        simulator.faults.clear()
    assert mended == [1, 1, 2, 2, 3, 3, 4, 5, 5, 6]


async def test_an_unbelievable_ver_costs_one_full_pull_in_ten_minutes_at_last(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """A provider that keeps answering nonsense is asked for everybody less and less; one that did so for a moment is
    asked again soon."""
    now = 0.0
    parts.wall = lambda: now
    directory = await parts.directory()
    await pulled(directory)
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=0)

    async def fulls_after_pull() -> float:
        directory.doubt()
        await pulled(directory)
        return parts.metric("directory_syncs_total", kind="full", outcome="refused")

    assert [await fulls_after_pull() for _ in range(3)] == [1, 1, 1]
    asked = 1
    for pause_s in (15, 30, 60, 120, 240, 480, 600, 600):
        now += pause_s - 1
        assert await fulls_after_pull() == asked
        now += 1
        asked += 1
        assert await fulls_after_pull() == asked
    assert len(await told.data("directory.held")) == 1
