"""The first fill of the mirror, and listings that must not be believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.provider.faults import ProviderAway
from bridge.simulator import Kind, Simulator
from bridge.worker.allowance import MOST
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.waiting import until
from tests.support.workers import KEYS, Told, running_worker, simulating

from .conftest import ALL_FIELDS, Parts, pulled

MANY = 1200
DEFAULT_FIELDS = ("alias", "name", "parties", "slaves", "status")


@pytest.fixture
async def simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    async with simulating(getattr(request, "param", 5)) as running:
        yield running


async def test_a_first_fill_is_told_in_one_event(parts: Parts, simulator: Simulator, told: Told) -> None:
    """``synced`` with ``initial``, and not an event for each account."""
    directory = await parts.directory()
    assert directory.cursor == 0
    await pulled(directory)
    world = simulator.world
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(world)
    assert await parts.redis.get(KEYS.ver) == str(world.ver).encode()
    [event] = await told.events()
    assert event["type"] == "exmail.directory.synced"
    assert event["data"] == {
        "from_ver": None,
        "to_ver": world.ver,
        "added": 5,
        "updated": 0,
        "deleted": 0,
        "initial": True,
    }
    assert directory.cursor == world.ver
    assert parts.metric("directory_syncs_total", kind="full", outcome="changed") == 1
    assert parts.metric("cursor_ver") == world.ver


@pytest.mark.parametrize("simulator", [MANY], indirect=True)
async def test_a_big_first_fill_is_staged_and_goes_on_after_a_crash(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Until the last call nothing is to be seen. Who leads next reads only the rest, and takes the first Ver as cursor:

    what changed since is told, also of those that were staged before it changed.
    """
    directory = await parts.directory()
    pulling = asyncio.create_task(pulled(directory))
    await simulator.calls.wait("user/get", 600)
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="user/get", value=502)
    with pytest.raises(ProviderAway):
        await pulling
    staged = await parts.redis.hlen(KEYS.directory_next)
    assert staged >= 500
    assert not await parts.redis.exists(KEYS.directory, KEYS.slaves, KEYS.ver)
    assert await told.events() == []
    simulator.faults.clear()
    first_ver, world = simulator.world.ver, simulator.world
    # Both are in the stage already.
    gone, other, *_ = world.accounts
    world.delete_user(gone)
    world.modify_user(other, name="Other")
    read = simulator.calls.count("user/get")
    after = await parts.directory()
    await pulled(after)
    assert simulator.calls.count("user/get") - read == MANY - staged
    [synced] = await told.data("directory.synced")
    assert (synced["added"], synced["to_ver"], synced["initial"]) == (MANY, first_ver, True)
    assert not await parts.redis.exists(KEYS.directory_next, KEYS.slaves_next, KEYS.ver_next)
    await pulled(after)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == slaves_of(world)
    assert [data["alias"] for data in await told.data("directory.user.updated", "directory.user.deleted")] == [
        other,
        gone,
    ]


@pytest.mark.parametrize("simulator", [MANY], indirect=True)
async def test_a_fault_costs_a_fill_one_account_and_not_all(parts: Parts, simulator: Simulator, told: Told) -> None:
    """One answer in three is a 502, so that one call in some is given up: it goes on where it was, each time."""
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="user/get", value=502, chance=1 / 3)
    directory = await parts.directory()
    faults = 0
    while not await parts.redis.exists(KEYS.ver):
        try:
            await pulled(directory)
        except ProviderAway:
            faults += 1
    assert faults > 10
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    # The one that it began with, and perhaps the look after it.
    assert simulator.calls.count("user/list") <= 2
    # Those that were under way when another failed are asked again: as many as it allows itself at first, then fewer.
    answered = simulator.calls.count("user/get") - simulator.faults.struck(Kind.HTTP_STATUS)
    assert answered < MANY + MOST + MOST // 4 * faults


@pytest.mark.parametrize("simulator", [1], indirect=True)
@pytest.mark.parametrize("fault", [(Kind.ANSWER, '{"Alias":"bob@gzdev.com"}'), (Kind.ERRCODE, 1999)])
async def test_a_fill_lets_nobody_in_of_whom_it_is_not_said(
    parts: Parts, simulator: Simulator, fault: tuple[Kind, str | int]
) -> None:
    """Barred before the mirror was lost, and his profile does not say, or cannot be read: he stays so."""
    await parts.redis.sadd(KEYS.barred, "bob@gzdev.com")
    simulator.faults.on(fault[0], endpoint="user/get", value=fault[1])
    await pulled(await parts.directory(second_look_s=3600))
    assert await parts.mirror.aliases() == await parts.mirror.barred() == {"bob@gzdev.com"}


async def test_a_fill_by_listings_that_are_short_in_another_way_each_time_waits_for_a_better_one(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Who was named is staged and not asked for again; a mirror comes of a listing that can be relied on."""
    for number, pattern in enumerate(("user/list", "user/lis*", "user/li*"), 2):
        simulator.faults.on(Kind.LIST_SHORT, endpoint=pattern, value=number, times=1)
    directory = await parts.directory()
    await pulled(directory)
    assert not await parts.redis.exists(KEYS.ver, KEYS.directory)
    assert await told.data("directory.synced") == []
    read = simulator.calls.count("user/get")
    assert await parts.redis.hlen(KEYS.directory_next) == read > 0
    directory.version(simulator.world.ver)
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert simulator.calls.count("user/get") == len(simulator.world.accounts)


@pytest.mark.parametrize("simulator", [80], indirect=True)
@pytest.mark.parametrize("kind", [Kind.RATE, Kind.RATE_PAGE])
async def test_a_fill_under_a_limit_of_calls_ends_whole(
    redis_url: str, simulator: Simulator, told: Told, kind: Kind
) -> None:
    """Forty a second are answered: the worker waits its turn, and nobody stays incomplete."""
    simulator.faults.on(kind, endpoint="user/get", value=40)
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")

        async def is_whole() -> bool:
            return await mirrored(told.redis) == fresh(simulator.world, DEFAULT_FIELDS)

        await until(is_whole)
        assert not await told.redis.exists(KEYS.owed)


@pytest.mark.parametrize("mark", ["1795497613538:00000000", "", "x", ":", "-1:00000000"])
async def test_a_stage_of_other_fields_is_begun_anew(parts: Parts, simulator: Simulator, mark: str) -> None:
    """Or one that an earlier version left: what may no longer be stored must not come in by it."""
    if mark:
        await parts.redis.set(KEYS.ver_next, mark)
    await parts.redis.hset(KEYS.directory_next, "left@x.cn", '{"alias":"left@x.cn","mobile":"13800000001"}')
    await pulled(await parts.directory(("alias", "name")))
    assert await mirrored(parts.redis) == fresh(simulator.world, ("name",))


async def test_fields_that_are_not_allowed_are_neither_stored_nor_told(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Not by the fill and not by a change; a change of such a field alone is no change."""
    simulator.world.modify_user("bob@gzdev.com", mobile="13800000001")
    directory = await parts.directory(("alias", "name", "slaves"))
    await pulled(directory)
    simulator.world.modify_user("bob@gzdev.com", mobile="13800000002", name="Robert")
    directory.version(simulator.world.ver)
    await pulled(directory)
    simulator.world.modify_user("bob@gzdev.com", mobile="13800000003")
    directory.version(simulator.world.ver)
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ("name", "slaves"))
    [updated] = await told.data("directory.user.updated")
    assert updated["profile"].keys() == {"alias", "name", "slaves"}
    assert directory.cursor == simulator.world.ver
    assert not [entry for entry in await _everything(parts.redis) if b"1380000000" in entry]


async def _everything(redis: Any) -> list[bytes]:
    entries = [text for _, fields in await redis.xrange(KEYS.events) for text in fields.values()]
    return entries + list((await redis.hgetall(KEYS.directory)).values())


@pytest.mark.parametrize("ver", [0, None])
async def test_a_full_listing_without_a_ver_fills_nothing(
    parts: Parts, simulator: Simulator, told: Told, ver: int | None
) -> None:
    """Announced, once; the next good one fills."""
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=ver)
    directory = await parts.directory()
    await pulled(directory)
    directory.version(simulator.world.ver)
    await pulled(directory)
    assert not await parts.redis.exists(KEYS.directory, KEYS.ver)
    assert [event["type"] for event in await told.events()] == ["exmail.directory.held"]
    assert parts.metric("directory_syncs_total", kind="full", outcome="refused") == 2
    simulator.faults.clear()
    directory.version(simulator.world.ver)
    await pulled(directory)
    assert len(await mirrored(parts.redis)) == 5


async def test_an_empty_full_listing_fills_nothing(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A corporation without accounts has no client id; this answer is a fault."""
    simulator.faults.on(Kind.LIST_EMPTY, endpoint="user/list", times=1)
    # With Ver 0 asked, an empty answer carries 0 as well: give it one that could be believed.
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=simulator.world.ver, times=1)
    await pulled(await parts.directory())
    assert not await parts.redis.exists(KEYS.directory, KEYS.ver)
    [held] = await told.events()
    assert held["type"] == "exmail.directory.held"


@pytest.mark.parametrize("simulator", [40], indirect=True)
async def test_a_short_full_listing_does_not_delete_everybody(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A mirror without a cursor is pulled in full; if that would delete too many, they are held."""
    await pulled(await parts.directory())
    await parts.redis.delete(KEYS.ver)
    for alias in list(simulator.world.accounts)[:10]:
        simulator.world.delete_user(alias)
    directory = await parts.directory()
    await pulled(directory)
    [held] = await told.data("directory.held")
    assert held["deleted"] == 10
    assert len(await mirrored(parts.redis)) == 40
    assert directory.cursor == simulator.world.ver
    assert parts.metric("directory_syncs_total", kind="full", outcome="held") == 1


async def test_a_mirror_without_a_cursor_is_compared_not_filled(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Only what really changed is told: the others have it already."""
    await pulled(await parts.directory())
    await parts.redis.delete(KEYS.ver)
    first, second, *_ = simulator.world.accounts
    simulator.world.delete_user(first)
    simulator.world.modify_user(second, name="Other")
    await pulled(await parts.directory())
    changes = await told.data("directory.user.added", "directory.user.updated", "directory.user.deleted")
    assert sorted(change["alias"] for change in changes) == sorted((first, second))
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
