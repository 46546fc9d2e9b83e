"""Changes and faults in any order: when the provider is well again, the mirror is what it should be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest

from bridge.simulator import Kind, Simulator, World
from bridge.simulator.seeded import seeded
from bridge.worker.directory import Directory
from bridge.worker.questions import DIRECTORY_FAULTS
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.members import told as believed
from tests.support.stage import mail
from tests.support.workers import KEYS, Told, simulating

from .conftest import ALL_FIELDS, Parts, pulled

OF_PROFILES = (
    (Kind.ERRCODE, "user/get", 1301),
    (Kind.ERRCODE, "user/get", 1999),
    (Kind.HTTP_STATUS, "user/get", 200),
    (Kind.HTTP_STATUS, "user/*", 502),
    (Kind.LIST_EMPTY, "user/list", None),
    (Kind.GET_LATE, "user/get", 3600),
)
OF_LISTINGS = (
    (Kind.ERRCODE, "user/list", 1999),
    (Kind.LIST_SHORT, "user/list", 2),
    (Kind.LIST_VER, "user/list", -1),
    (Kind.LIST_VER_MOVES, "user/list", 3),
)
"""After these everybody is compared; a listing of everybody does not say who was deleted and made anew."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(12) as running:
        yield running


def change(world: World, dice: Random) -> None:
    """Somebody is hired, leaves, is renamed, switched off or on; aliases change hands."""
    alias = dice.choice(list(world.accounts))
    match dice.randrange(6):
        case 0:
            world.add_user(f"u{dice.randrange(8)}.{len(world.directory)}@gzdev.com", slaves=())
        case 1 if len(world.accounts) > 6:
            world.delete_user(alias)
        case 2:
            gone = {entry.alias for entry in world.directory} - world.accounts.keys() - slaves_of(world).keys()
            if gone:
                world.add_user(dice.choice(sorted(gone)), slaves=())
        case 3:
            world.modify_user(alias, open_type=dice.choice((1, 2)))
        case 4:
            taken = slaves_of(world).keys() | world.accounts.keys()
            free = [address for address in ("a1@gzdev.com", "a2@gzdev.com") if address not in taken]
            world.modify_user(alias, slaves=tuple(free))
        case _:
            world.modify_user(alias, name=f"N{dice.randrange(9)}")


async def look(directory: Directory) -> None:
    directory.doubt()
    try:
        await pulled(directory)
    except DIRECTORY_FAULTS:
        pass


@pytest.mark.parametrize("listings", [False, True], ids=["profiles", "listings too"])
@pytest.mark.parametrize("seed", range(3))
async def test_after_any_storm_the_mirror_is_right(
    parts: Parts, simulator: Simulator, told: Told, seed: int, listings: bool
) -> None:
    """Mirror, aliases, who is barred; what was told adds up to it; who was made anew has nothing of the former."""
    dice, world = seeded(seed, "storm"), simulator.world
    faults = OF_PROFILES + OF_LISTINGS if listings else OF_PROFILES
    writer = await parts.writer()
    await pulled(await parts.directory(writer=writer))
    old, seen = await mirrored(parts.redis), len(await told.events())
    watched: dict[str, int] = {}
    for _ in range(10):
        victims = dice.sample(list(world.accounts), 2)
        await writer.commit([mail(f"Z{len(world.directory)}-{alias}", mailbox=alias) for alias in victims])
        watched |= {alias: len(world.directory) for alias in victims}
        directory = await parts.directory(writer=writer, second_look_s=dice.choice((0, 3600)))
        for kind, endpoint, value in dice.sample(faults, dice.randrange(3)):
            simulator.faults.on(kind, endpoint=endpoint, value=value, chance=dice.choice((0.3, 1.0)))
        for _ in range(dice.randrange(5)):
            change(world, dice)
        await look(directory)
        await look(directory)
        simulator.faults.clear()
    # Whoever leads next looks at everybody, and once more at those that are gone.
    directory = await parts.directory(writer=writer)
    await look(directory)
    if (held := await parts.mirror.held()) is not None:
        await directory.release(held.digest)
    await directory.resync()
    await look(directory)
    if (held := await parts.mirror.held()) is not None:
        await directory.release(held.digest)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(world)
    off = {alias for alias, account in world.accounts.items() if account.open_type == 2}
    assert await parts.mirror.barred() & (world.accounts.keys() | slaves_of(world).keys()) == off
    assert not await parts.mirror.owed()
    assert believed(old, (await told.events())[seen:], enabled_counts=True) == await mirrored(parts.redis)
    for alias, since in watched.items():
        if not listings and any(entry.alias == alias and entry.action == 1 for entry in world.directory[since:]):
            log = [fields[b"event"] for _, fields in await parts.redis.xrange(KEYS.log(alias))]
            assert not [event for event in log if f"Z{since}-{alias}".encode() in event], alias
