"""Whose an address is that was said to be deleted, where no line says that it was made anew: the rule of ``claims``."""

from __future__ import annotations

import pytest

from bridge.journal.owed import Owed
from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from tests.support.workers import BOB, KEYS

from .conftest import Parts
from .test_directory_persons import directory, kept, look, moved, pushed

__all__ = ["directory"]


@pytest.mark.parametrize("why", ["resync", "refused"])
async def test_a_deletion_that_a_listing_of_everything_follows_is_another_person(
    parts: Parts, simulator: Simulator, directory: Directory, why: str
) -> None:
    """The listing has no lines of before: who has the address now was made anew."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    assert BOB in await parts.mirror.owed()
    simulator.world.add_user(BOB, name="Another Bob")
    if why == "resync":
        await directory.resync()
    else:
        simulator.faults.on(Kind.ERRCODE, endpoint="user/list", value=1999, times=1)
        await look(directory)
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert await parts.mirror.barred() & {BOB} == set()
    assert await parts.mirror.owed() == {}


async def test_a_profile_alone_lets_nobody_in_again_while_a_line_may_be_under_way(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Deleted, made anew, and ``user/list`` lags: the second look finds the new holder, whose line is still to come."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    simulator.world.add_user(BOB, name="Another Bob")
    simulator.faults.on(Kind.LIST_EMPTY, endpoint="user/list")
    directory = await parts.directory(second_look_s=0)
    directory.version(simulator.world.ver)
    assert await directory._debts.settle() is False
    assert BOB in await parts.mirror.barred()
    assert (await parts.mirror.owed())[BOB].why == "deleted"
    simulator.faults.clear()
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert BOB not in await parts.mirror.barred()


async def test_whose_line_the_second_look_did_not_wait_for_is_another_person_when_it_comes(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Nothing was pushed that told of it, and the profile was believed: the line that adds him says who he is."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=0)
    simulator.faults.on(
        Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"Another Bob","OpenType":1}}'
    )
    simulator.world.delete_user(BOB)
    await look(directory)
    assert await kept(parts, BOB) == 2
    assert BOB not in await parts.mirror.barred()
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)


async def test_a_doubt_outlives_its_leader(parts: Parts, simulator: Simulator, directory: Directory) -> None:
    """Whoever leads when the line comes that adds him knows that he was let in by a profile alone."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=0)
    await let_in_again(parts, simulator, directory)
    assert await parts.mirror.doubted() != {}
    directory = await parts.directory()
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert await parts.mirror.doubted() == {}
    assert not directory._known.is_doubted(BOB)


async def test_nobody_is_doubted_of_whom_it_is_known_who_he_is(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Neither another person, whom a line adds, nor who was merely not read, or left out of a listing."""
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert BOB in await moved(parts)
    assert await parts.mirror.doubted() == {}
    for why in ("unreadable", "absent"):
        await parts.redis.hset(KEYS.owed, BOB, Owed(1, why).as_json())
        directory = await parts.directory(second_look_s=0)
        await look(directory)
        assert await parts.mirror.owed() == {}
        assert await parts.mirror.doubted() == {}


@pytest.mark.parametrize("again", ["leaves", "fades"])
async def test_a_doubt_ends_with_the_next_deletion_and_within_a_day(
    parts: Parts, simulator: Simulator, directory: Directory, again: str
) -> None:
    """Of who is said to be gone once more that is what counts; and nobody is doubted for ever."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=0)
    await let_in_again(parts, simulator, directory)
    if again == "leaves":
        directory = await parts.directory(second_look_s=3600)
        simulator.world.add_user(BOB)
        simulator.world.delete_user(BOB)
        await look(directory)
        assert (await parts.mirror.owed())[BOB].why == "deleted"
        assert await parts.mirror.doubted() == {}
        return
    [(alias, at)] = (await parts.mirror.doubted()).items()
    await parts.redis.zadd(KEYS.doubted, {alias: at - 86_400_001})
    directory = await parts.directory()
    simulator.world.add_user(BOB)
    await look(directory)
    assert await kept(parts, BOB) == 2


async def let_in_again(parts: Parts, simulator: Simulator, directory: Directory) -> None:
    """Bob is said to be deleted, and the second look finds a profile; it answers so no more afterwards."""
    fault = simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"B","OpenType":1}}')
    simulator.world.delete_user(BOB)
    await look(directory)
    assert await kept(parts, BOB) == 2
    assert BOB not in await parts.mirror.barred()
    simulator.faults.end(fault)


@pytest.mark.parametrize("refused", [False, True])
async def test_who_was_let_in_again_is_doubted_only_where_lines_may_have_been_passed_over(
    parts: Parts, simulator: Simulator, directory: Directory, refused: bool
) -> None:
    """A deletion that was never meant costs nobody his history at the next resync; after answers of no use it may."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=0)
    account = simulator.world.accounts[BOB]
    profile = f'{{"Alias":"{BOB}","Name":"{account.name}","OpenType":1}}'
    fault = simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=profile)
    simulator.world.delete_user(BOB)
    await look(directory)
    simulator.faults.end(fault)
    simulator.world.add_user(BOB, name=account.name)
    if refused:
        simulator.faults.on(Kind.ERRCODE, endpoint="user/list", value=1999, times=1)
        await look(directory)
    else:
        await directory.resync()
    assert await kept(parts, BOB) == (0 if refused else 2)
    assert (BOB in await moved(parts)) == refused


async def test_whose_deletion_is_held_is_the_same_where_everybody_is_listed(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """So many deletions at once are not believed: nobody of a corporation that was never deleted is a stranger."""
    everybody = sorted(simulator.world.accounts)
    before = dict(simulator.world.accounts)
    for number in range(10):
        simulator.world.add_user(f"more{number}@gzdev.com")
    await pushed(parts, directory, *everybody)
    directory = await parts.directory(second_look_s=3600)
    await look(directory)
    gone = sorted(simulator.world.accounts)[1:]
    for alias in gone:
        simulator.world.delete_user(alias)
    await look(directory)
    held = await parts.mirror.held()
    assert held is not None
    assert set(held.aliases) == set(gone)
    for alias in gone:
        simulator.world.add_user(alias, name=before[alias].name if alias in before else None)
    await directory.resync()
    assert await parts.mirror.held() is None
    assert [await kept(parts, alias) for alias in everybody] == [2] * len(everybody)
    assert await moved(parts) & set(gone) == set()


async def test_who_was_merely_left_out_of_a_listing_is_the_same(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Nobody's word deleted him: where he is listed again he has what he had, and his credentials."""
    await pushed(parts, directory, BOB)
    await parts.redis.hset(KEYS.owed, BOB, Owed(1, "absent", barred=True).as_json())
    await parts.redis.sadd(KEYS.barred, BOB)
    directory = await parts.directory(second_look_s=3600)
    await directory.resync()
    assert await parts.mirror.owed() == {}
    assert BOB not in await parts.mirror.barred()
    assert await kept(parts, BOB) == 2
    assert BOB not in await moved(parts)


async def test_who_is_said_to_be_gone_once_more_is_counted_once(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """An operator who compares again while a second look is waited for is told of nobody new."""
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    assert [(await directory.resync()).gone, (await directory.resync()).gone] == [1, 0]


async def test_a_line_that_deletes_counts_more_than_an_absence(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Whichever came first: who has the address next is another person."""
    for first in ("line", "absence"):
        directory = await parts.directory(second_look_s=3600)
        if first == "absence":
            await parts.redis.hset(KEYS.owed, BOB, Owed(1, "absent").as_json())
            directory = await parts.directory(second_look_s=3600)
            simulator.world.add_user(BOB)
        simulator.world.delete_user(BOB)
        await look(directory)
        await directory.resync()
        owed = (await parts.mirror.owed())[BOB]
        assert owed.why == "deleted"
        # He has been leaving since the first of the two.
        assert (owed.since == 1) == (first == "absence")
        await parts.redis.delete(KEYS.owed)
