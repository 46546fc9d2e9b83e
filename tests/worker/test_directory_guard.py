"""Answers that would delete too many accounts are held; a Ver that cannot be makes everything be asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridge.journal.held import Held
from bridge.simulator import Kind, Simulator
from bridge.worker.decisions import NotWhatWasShown
from bridge.worker.directory import Directory, NotBelieved
from bridge.worker.guard import Guard
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.workers import BOB, KEYS, Told, running_worker, simulating

from .conftest import ALL_FIELDS, Parts, pulled

USERS = 20
DELETED = "directory.user.deleted"

Pull = Callable[[], Awaitable[None]]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(USERS) as running:
        yield running


@pytest.fixture
async def directory(parts: Parts) -> Directory:
    """Filled, nothing to do."""
    directory = await parts.directory()
    await pulled(directory)
    return directory


@pytest.fixture
def pull(directory: Directory) -> Pull:
    """Look, whether anything was pushed or not."""

    async def look() -> None:
        directory.doubt()
        await pulled(directory)

    return look


def delete(simulator: Simulator, n: int) -> list[str]:
    """Delete the last ``n`` accounts; their aliases in order."""
    gone = list(simulator.world.accounts)[-n:]
    for alias in gone:
        simulator.world.delete_user(alias)
    return sorted(gone)


async def held(parts: Parts) -> Held:
    found = await parts.mirror.held()
    assert found is not None
    assert parts.metric("directory_held") == len(found.aliases)
    return found


async def shown(parts: Parts) -> str:
    """The digest that an operator is shown."""
    return (await held(parts)).digest


async def deleted(told: Told) -> list[str]:
    return sorted(data["alias"] for data in await told.data(DELETED))


@pytest.mark.parametrize(
    ("deletions", "accounts", "refused"),
    [(5, 5, False), (6, 60, False), (6, 59, True), (600, 6000, False), (601, 6000, True)],
)
def test_too_many_is_more_than_a_share_and_more_than_a_count(deletions: int, accounts: int, refused: bool) -> None:
    """Both bounds must be passed: small companies may lose five, big ones a tenth."""
    assert Guard(share=0.1, count=5).refuses(deletions, accounts) is refused


async def test_deletions_are_held_and_the_rest_is_applied(
    parts: Parts, simulator: Simulator, told: Told, pull: Pull
) -> None:
    """The cursor passes them, so that they are not asked for again and again; announced once."""
    world, before = simulator.world, simulator.world.ver
    gone = delete(simulator, 6)
    world.modify_user(BOB, name="Robert")
    await pull()
    found = await held(parts)
    assert (found.aliases, found.kind, found.from_ver, found.to_ver) == (tuple(gone), "delta", before, world.ver)
    assert await parts.mirror.ver() == world.ver > before
    assert [data["profile"]["name"] for data in await told.data("directory.user.updated")] == ["Robert"]
    assert await deleted(told) == []
    assert len(await mirrored(parts.redis)) == USERS
    [announced] = await told.data("directory.held")
    assert (announced["deleted"], announced["from_ver"], announced["to_ver"]) == (6, before, world.ver)
    assert await parts.mirror.barred() == set()
    told_so_far, read = await told.events(), simulator.calls.count("user/get")
    await pull()
    await pull()
    assert await told.events() == told_so_far
    assert parts.metric("directory_syncs_total", kind="delta", outcome="held") == 1
    assert parts.metric("directory_syncs_total", kind="delta", outcome="unchanged") == 2
    assert (await held(parts)) == found
    assert simulator.calls.count("user/get") == read


async def test_while_deletions_are_held_other_changes_go_on(
    parts: Parts, simulator: Simulator, told: Told, pull: Pull
) -> None:
    """And each further deletion joins those that are held, and is announced."""
    gone = delete(simulator, 6)
    await pull()
    simulator.world.add_user("new@gzdev.com")
    await pull()
    assert [data["alias"] for data in await told.data("directory.user.added")] == ["new@gzdev.com"]
    simulator.world.delete_user("new@gzdev.com")
    await pull()
    assert (await held(parts)).aliases == tuple(sorted([*gone, "new@gzdev.com"]))
    assert [data["deleted"] for data in await told.data("directory.held")] == [6, 7]


async def test_what_is_released_is_deleted_and_the_cursor_moves(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """As if it had been believed at once; the second time there is nothing to release."""
    before = simulator.world.ver
    simulator.world.modify_user(list(simulator.world.accounts)[-1], slaves=("gone@gzdev.com",))
    await pull()
    gone = delete(simulator, 6)
    await pull()
    digest = await shown(parts)
    assert (await directory.release(digest)).deleted == 6
    assert await deleted(told) == gone
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(simulator.world)
    assert await parts.mirror.ver() == directory.cursor == simulator.world.ver > before
    assert (await told.data("directory.synced"))[-1]["deleted"] == 6
    assert await parts.mirror.held() is None
    assert parts.metric("directory_held") == 0
    assert (await directory.release(digest)).deleted == 0


async def test_what_is_refused_stays_until_everything_is_pulled(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """The cursor moves on, so that nothing loops; a full pull proposes it again, and it is held again."""
    gone = delete(simulator, 6)
    await pull()
    assert await directory.refuse(await shown(parts)) == 6
    assert await parts.mirror.ver() == simulator.world.ver
    assert await parts.mirror.held() is None
    await pull()
    simulator.world.modify_user(BOB, name="Robert")
    await pull()
    assert await parts.mirror.held() is None
    assert await directory.refuse("") == 0
    assert len(await mirrored(parts.redis)) == USERS
    assert (await directory.resync()).held == 6
    found = await held(parts)
    assert (found.kind, found.aliases) == ("full", tuple(gone))
    assert (await directory.release(await shown(parts))).deleted == 6
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)


async def test_an_account_that_comes_back_is_not_deleted(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """Made anew at the provider while its deletion was held. The others stay held, though they are fewer now."""
    gone = delete(simulator, 6)
    await pull()
    simulator.world.add_user(gone[0], name="Back")
    await pull()
    assert (await held(parts)).aliases == tuple(gone[1:])
    assert await deleted(told) == []
    assert (await mirrored(parts.redis))[gone[0]]["name"] == "Back"
    assert (await directory.release(await shown(parts))).deleted == 5
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)


async def test_what_is_held_never_carries_itself_out(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """Hundreds are hired, and six are few of so many; changes go on, everybody is compared: an operator decides."""
    gone = delete(simulator, 6)
    await pull()
    digest = await shown(parts)
    for number in range(80):
        simulator.world.add_user(f"new{number}@gzdev.com")
    await pull()
    assert (await directory.resync()).held == 0
    simulator.world.modify_user(BOB, name="Robert")
    await pull()
    assert await deleted(told) == []
    assert (await held(parts)).aliases == tuple(gone)
    assert await shown(parts) == digest
    assert (await directory.release(digest)).deleted == 6


async def test_only_what_was_shown_is_released(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """Forty were shown, and more came in between: nobody is deleted, and nothing is decided."""
    gone = delete(simulator, 6)
    await pull()
    digest = await shown(parts)
    more = delete(simulator, 3)
    await pull()
    for decide in (directory.release, directory.refuse):
        with pytest.raises(NotWhatWasShown, match="has changed: 9 accounts"):
            await decide(digest)
    assert await deleted(told) == []
    assert (await held(parts)).aliases == tuple(sorted(gone + more))


async def test_a_new_leader_finds_what_is_held(parts: Parts, simulator: Simulator, told: Told, pull: Pull) -> None:
    """It is in Redis, not in a process; the new one does not announce it again."""
    delete(simulator, 6)
    await pull()
    found = await held(parts)
    after = await parts.directory()
    assert parts.metric("directory_held") == 6
    await pulled(after)
    assert await held(parts) == found
    assert len(await told.data("directory.held")) == 1
    assert (await after.release(await shown(parts))).deleted == 6
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)


async def test_deltas_go_on_while_a_full_pull_s_deletions_are_held(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """A delta is silent about them: they stay held, all but those that it names; the cursor never goes back."""
    gone = delete(simulator, 7)
    await pull()
    await directory.refuse(await shown(parts))
    await directory.resync()
    full = await held(parts)
    assert full.aliases == tuple(gone)
    simulator.world.add_user(gone[0], name="Back")
    await pull()
    assert (await held(parts)).aliases == tuple(gone[1:])
    ver = await parts.mirror.ver()
    assert ver == simulator.world.ver > full.to_ver
    assert len(await told.data("directory.held")) == 2
    assert (await directory.release(await shown(parts))).deleted == 6
    assert await parts.mirror.ver() == ver
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)


async def test_an_operator_s_resync_tells_only_what_changed(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """A mirror that was damaged is mended, and nothing is told of the rest."""
    alias = list(simulator.world.accounts)[3]
    await parts.redis.hdel(KEYS.directory, alias)
    await parts.redis.hset(KEYS.directory, BOB, '{"alias":"bob@gzdev.com","name":"Damaged"}')
    directory.doubt()
    applied = await directory.resync()
    assert (applied.added, applied.updated, applied.deleted, applied.held) == (1, 1, 0, 0)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    seen = await told.events()
    assert (await directory.resync()).updated == 0
    assert await told.events() == seen


async def test_a_listing_that_is_empty_is_not_believed(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Also not when an operator asked for it."""
    simulator.faults.on(Kind.LIST_EMPTY, endpoint="user/list", times=1)
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=simulator.world.ver, times=1)
    with pytest.raises(NotBelieved):
        await directory.resync()
    assert len(await mirrored(parts.redis)) == USERS


async def test_both_bounds_are_settings(redis_url: str, simulator: Simulator, told: Told) -> None:
    """With both at 0 a single deletion waits."""
    bounds = {"BRIDGE_DIRECTORY_DELETE_SHARE": "0", "BRIDGE_DIRECTORY_DELETE_COUNT": "0"}
    async with running_worker(redis_url, simulator, **bounds) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        simulator.world.delete_user(BOB)
        assert [data["deleted"] for data in await told.wait("directory.held")] == [1]
        assert worker.metric("directory_held") == 1
