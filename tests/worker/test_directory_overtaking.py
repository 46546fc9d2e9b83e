"""What changes while everybody is compared, or many change, waits for a part of that, and not for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.simulator import Kind, Simulator
from bridge.simulator.seeded import seeded
from bridge.worker.directory import Directory
from bridge.worker.notices import Applied
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.members import told as believed
from tests.support.stage import mail
from tests.support.workers import KEYS, WAIT_S, Told, simulating

from .conftest import ALL_FIELDS, Parts, pulled
from .test_directory_storms import change, look

PEOPLE = 600


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(PEOPLE) as running:
        yield running


async def comparing(directory: Directory, simulator: Simulator) -> asyncio.Task[Applied]:
    """A comparison of everybody whose first part is stored."""
    read = simulator.calls.count("user/get")
    running = asyncio.create_task(directory.resync())
    await simulator.calls.wait("user/get", read + 40, timeout_s=WAIT_S)
    return running


async def changing(directory: Directory, simulator: Simulator) -> asyncio.Task[None]:
    """A change of everybody whose first part is stored."""
    world, read = simulator.world, simulator.calls.count("user/get")
    for alias in world.accounts:
        world.modify_user(alias, name="Changed")
    directory.version(world.ver)
    running = asyncio.create_task(pulled(directory))
    await simulator.calls.wait("user/get", read + 40, timeout_s=WAIT_S)
    return running


async def test_who_is_deleted_while_everybody_is_compared_is_barred_before_the_others_are_read(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """And who changed is told; the cursor goes forwards, and the comparison goes on to its end."""
    world, directory = simulator.world, await parts.directory()
    await pulled(directory)
    *_, changed, deleted = world.accounts
    asked: list[int] = []
    parts.after_batch = lambda outcomes: asked.append(simulator.calls.count("user/get"))
    before = simulator.calls.count("user/get")
    running = await comparing(directory, simulator)
    world.modify_user(changed, name="Changed")
    world.delete_user(deleted)
    directory.version(world.ver)
    await running
    assert asked[0] - before < PEOPLE - 200
    assert simulator.calls.count("user/get") - before == PEOPLE - 1
    assert deleted in await parts.mirror.barred()
    assert directory.cursor == world.ver
    assert [data["alias"] for data in await told.data("directory.user.updated")] == [changed]
    _, own = await told.data("directory.synced")
    assert own["to_ver"] == world.ver
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert [data["alias"] for data in await told.data("directory.user.deleted")] == [deleted]


@pytest.mark.parametrize("disabled", [True, False], ids=["disabled", "deleted"])
async def test_who_leaves_while_many_change_is_barred_before_the_others_are_read(
    parts: Parts, simulator: Simulator, told: Told, disabled: bool
) -> None:
    """Everybody is read once, and one move of the cursor stands for all of it."""
    world, directory = simulator.world, await parts.directory()
    await pulled(directory)
    *_, alias = world.accounts
    before, began = simulator.calls.count("user/get"), world.ver
    leaving: list[int] = []

    def stored(outcomes: object) -> None:
        if parts.metric("directory_owed"):
            leaving.append(simulator.calls.count("user/get") - before)

    parts.after_batch = stored
    running = await changing(directory, simulator)
    if disabled:
        world.modify_user(alias, open_type=2)
    else:
        world.delete_user(alias)
    directory.version(world.ver)
    await running
    updated = [data["alias"] for data in await told.data("directory.user.updated")]
    if disabled:
        assert updated.index(alias) < PEOPLE - 200
        assert simulator.calls.count("user/get") - before == PEOPLE
    else:
        assert leaving[0] < PEOPLE - 200
        assert len(updated) == PEOPLE - 1
    assert await parts.mirror.barred() == {alias}
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    _, own, *_ = await told.data("directory.synced")
    assert (own["from_ver"], own["to_ver"]) == (began, world.ver)


async def test_who_was_made_anew_among_many_is_another_person_also_where_a_later_change_goes_first(
    parts: Parts, simulator: Simulator
) -> None:
    """And once that is stored, what came to him since is his."""
    world, writer = simulator.world, await parts.writer()
    directory = await parts.directory(writer=writer)
    await pulled(directory)
    remade = list(world.accounts)[-150:]
    await writer.commit([mail("Z1", mailbox=alias) for alias in remade])
    for alias in remade:
        world.delete_user(alias)
        world.add_user(alias, slaves=())
    running = await changing(directory, simulator)
    first, *_, last = remade
    await writer.commit([mail("Z2", mailbox=first)])
    for alias in (first, last):
        world.modify_user(alias, name="Changed again")
    directory.version(world.ver)
    await running
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert [await parts.redis.xlen(KEYS.log(alias)) for alias in remade] == [1, *[0] * 149]


async def test_who_is_said_to_be_deleted_meanwhile_is_nobody_else_for_the_older_listing(
    parts: Parts, simulator: Simulator
) -> None:
    """The listing has him because it was asked for before; if the line was wrong, he keeps what he has."""
    world, writer = simulator.world, await parts.writer()
    directory = await parts.directory(writer=writer, second_look_s=0)
    await pulled(directory)
    alias = list(world.accounts)[-1]
    await writer.commit([mail("Z1", mailbox=alias)])
    running = await comparing(directory, simulator)
    body = f'{{"Ver":{world.ver + 1},"Count":1,"List":[{{"Action":1,"Alias":"{alias}"}}]}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=body)
    directory.version(world.ver + 1)
    await running
    assert alias in await parts.mirror.barred()
    simulator.faults.clear()
    # The provider comes as far as that line claimed.
    for name in ("Other", "Another"):
        world.modify_user(next(iter(world.accounts)), name=name)
    await pulled(directory)
    assert alias not in await parts.mirror.barred()
    assert await parts.redis.xlen(KEYS.log(alias)) == 1


@pytest.mark.parametrize(
    ("kind", "value"), [(Kind.HTTP_STATUS, 502), (Kind.ERRCODE, 1999), (Kind.LIST_SHORT, 1), (Kind.LIST_VER, -1)]
)
async def test_changes_that_cannot_be_listed_come_behind_the_comparison(
    parts: Parts, simulator: Simulator, kind: Kind, value: int
) -> None:
    """The comparison does not fail for that, and the cursor stays before them."""
    world, directory = simulator.world, await parts.directory()
    await pulled(directory)
    running = await comparing(directory, simulator)
    simulator.faults.on(kind, endpoint="user/list", value=value)
    before = world.ver
    world.delete_user(list(world.accounts)[-1])
    directory.version(world.ver)
    await running
    assert directory.cursor == before
    simulator.faults.clear()
    await pulled(directory)
    assert directory.cursor == world.ver
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)


@pytest.mark.parametrize("all_change", [False, True], ids=["all are compared", "all change"])
@pytest.mark.parametrize("seed", range(3))
async def test_whatever_changes_meanwhile_the_mirror_is_right(
    parts: Parts, simulator: Simulator, told: Told, seed: int, all_change: bool
) -> None:
    """Mirror, aliases, who is barred; what was told adds up to it."""
    dice, world = seeded(seed, "overtaking"), simulator.world
    writer = await parts.writer()
    directory = await parts.directory(writer=writer, second_look_s=0)
    await pulled(directory)
    old, seen = await mirrored(parts.redis), len(await told.events())
    for number in range(4):
        running: asyncio.Task[object]
        if all_change:
            for alias in world.accounts:
                world.modify_user(alias, tel=str(number))
            directory.version(world.ver)
            running = asyncio.create_task(pulled(directory))
        else:
            running = asyncio.create_task(directory.resync())
        while not running.done():
            reading = simulator.calls.wait("user/get", simulator.calls.count("user/get") + dice.randrange(1, 150))
            waiting = asyncio.ensure_future(reading)
            await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            for _ in range(dice.randrange(4)):
                change(world, dice)
            directory.version(world.ver)
        await running
        await look(directory)
    await look(directory)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(world)
    off = {alias for alias, account in world.accounts.items() if account.open_type == 2}
    assert await parts.mirror.barred() & (world.accounts.keys() | slaves_of(world).keys()) == off
    assert not await parts.mirror.owed()
    assert believed(old, (await told.events())[seen:], enabled_counts=True) == await mirrored(parts.redis)
