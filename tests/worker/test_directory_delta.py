"""Deltas: what changed is told once and moves the cursor; what cannot be believed moves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest

from bridge.journal.writer import Outcome
from bridge.provider.faults import Busy, ProviderAway
from bridge.simulator import Kind, Simulator
from bridge.simulator.seeded import seeded
from bridge.worker.directory import Directory
from bridge.worker.scribe import CursorElsewhere
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.members import told as believed
from tests.support.workers import BOB, KEYS, Told

from .conftest import ALL_FIELDS, Parts, pulled

CHANGES = ("directory.user.added", "directory.user.updated", "directory.user.deleted")


@pytest.fixture
async def directory(parts: Parts, simulator: Simulator) -> Directory:
    """Filled, nothing to do."""
    directory = await parts.directory()
    await pulled(directory)
    return directory


@pytest.fixture
def news(directory: Directory, simulator: Simulator) -> Callable[[], Any]:
    """Push the newest Ver, and let the directory pull."""

    async def pull() -> None:
        directory.version(simulator.world.ver)
        await pulled(directory)

    return pull


async def cursor_is(parts: Parts, ver: int) -> bool:
    return bool(await parts.redis.get(KEYS.ver) == str(ver).encode())


async def test_each_change_is_told_with_its_profile(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any]
) -> None:
    """Added and updated, then ``synced`` with counts, and the cursor with them; deleted after a second look."""
    world = simulator.world
    before, gone = world.ver, list(world.accounts)[-1]
    world.add_user("new@gzdev.com", name="New", slaves=("newer@gzdev.com",))
    world.modify_user(BOB, name="Robert")
    world.delete_user(gone)
    await news()
    changes = await told.events(*CHANGES)
    assert {(event["type"].rsplit(".", 1)[1], event["data"]["alias"]) for event in changes} == {
        ("added", "new@gzdev.com"),
        ("updated", BOB),
        ("deleted", gone),
    }
    assert all(event["data"]["ver"] == world.ver for event in changes)
    assert {event["subject"] for event in changes} == {"new@gzdev.com", BOB, gone}
    assert ["profile" in event["data"] for event in changes] == [not e["type"].endswith("deleted") for e in changes]
    synced = {"from_ver": before, "to_ver": world.ver, "added": 1, "updated": 1, "deleted": 0, "initial": False}
    looked = synced | {"from_ver": world.ver, "added": 0, "updated": 0, "deleted": 1}
    assert (await told.data("directory.synced"))[-2:] == [synced, looked]
    assert await cursor_is(parts, world.ver)
    assert parts.appeared == ["new@gzdev.com"]
    assert parts.slaves["newer@gzdev.com"] == "new@gzdev.com"
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(world)


async def test_an_account_that_comes_and_goes_within_a_delta_is_told_to_nobody(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any]
) -> None:
    """The same alias twice: the last action counts; deleted and made anew is a change of profile, if it is one."""
    world = simulator.world
    world.add_user("brief@gzdev.com")
    world.delete_user("brief@gzdev.com")
    old = world.accounts[BOB]
    world.delete_user(BOB)
    world.add_user(BOB, **{name: getattr(old, name) for name in ("name", "gender", "slaves", "position", "tel")})
    await news()
    assert [event["data"]["alias"] for event in await told.events(*CHANGES)] in ([], [BOB])
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await cursor_is(parts, world.ver)


@pytest.mark.parametrize("known", [True, False])
async def test_an_account_that_is_refused_does_not_hold_up_the_others(
    parts: Parts, simulator: Simulator, told: Told, known: bool
) -> None:
    """Another errcode: what we know is kept, else it is stored as incomplete; the cursor moves, the answer is owed."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    world = simulator.world
    alias = BOB if known else "new@gzdev.com"
    before = await mirrored(parts.redis)
    if known:
        world.modify_user(BOB, name="Robert")
    else:
        world.add_user(alias)
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999, times=1)
    directory.version(world.ver)
    await pulled(directory)
    found = await mirrored(parts.redis)
    assert found[alias] == (before[BOB] if known else {"alias": alias, "incomplete": True})
    assert await cursor_is(parts, world.ver)
    assert {each: owed.why for each, owed in (await parts.mirror.owed()).items()} == {alias: "refused 1999"}
    world.modify_user(alias, name="Whole")
    directory.version(world.ver)
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await parts.mirror.owed() == {}


@pytest.mark.parametrize(
    ("kind", "value", "error"), [(Kind.ERRCODE, 1002, Busy), (Kind.HTTP_STATUS, 502, ProviderAway)]
)
@pytest.mark.parametrize("endpoint", ["user/get", "user/list"])
async def test_a_busy_or_absent_provider_holds_the_cursor(
    parts: Parts,
    simulator: Simulator,
    told: Told,
    news: Callable[[], Any],
    kind: Kind,
    value: int,
    error: Any,
    endpoint: str,
) -> None:
    """Nothing is stored or told; the same delta is asked for when it is well again."""
    before, old = await mirrored(parts.redis), simulator.world.ver
    simulator.world.modify_user(BOB, name="Robert")
    simulator.world.add_user("new@gzdev.com")
    simulator.faults.on(kind, endpoint=endpoint, value=value)
    with pytest.raises(error):
        await news()
    assert await cursor_is(parts, old)
    assert await mirrored(parts.redis) == before
    assert parts.metric("directory_syncs_total", kind="delta", outcome="failed") == 1
    simulator.faults.clear()
    await news()
    assert len(await told.events(*CHANGES)) == 2
    assert await cursor_is(parts, simulator.world.ver)


async def test_a_short_burst_of_busy_is_waited_out(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any]
) -> None:
    """1002 three times, and the same pull goes on."""
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1002, times=3)
    await news()
    assert len(await told.events(*CHANGES)) == 1
    assert parts.metric("directory_syncs_total", kind="delta", outcome="failed") == 0


@pytest.mark.parametrize("answered", [0, None])
async def test_a_ver_that_is_zero_or_missing_moves_nothing(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any], answered: int | None
) -> None:
    """And is announced, once however often it comes; the next good answer brings what was held."""
    before = simulator.world.ver
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.LIST_VER, endpoint="user/list", value=answered)
    await news()
    await news()
    [held] = await told.data("directory.held")
    assert (held["from_ver"], held["to_ver"]) == (before, answered)
    assert await cursor_is(parts, before)
    assert await told.events(*CHANGES) == []
    simulator.faults.clear()
    await news()
    assert len(await told.events(*CHANGES)) == 1
    assert await cursor_is(parts, simulator.world.ver)


async def test_a_push_that_outruns_the_data_is_waited_for(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any]
) -> None:
    """``user/list`` still is empty twice, then has it."""
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.LIST_EMPTY, endpoint="user/list", times=2)
    await news()
    assert len(await told.events(*CHANGES)) == 1
    assert await cursor_is(parts, simulator.world.ver)


async def test_a_push_that_nothing_follows_is_asked_for_a_bounded_number_of_times(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Four answers for one push, and no spin behind them."""
    asked = simulator.calls.count("user/list")
    directory.version(simulator.world.ver + 5000)
    await pulled(directory)
    assert simulator.calls.count("user/list") == asked + 4
    assert parts.metric("directory_syncs_total", kind="delta", outcome="unchanged") == 1
    # The next look, for whatever reason, does not wait for it again.
    directory.doubt()
    await pulled(directory)
    assert simulator.calls.count("user/list") == asked + 5


async def test_a_pushed_ver_behind_the_cursor_asks_once_and_moves_nothing(
    parts: Parts, simulator: Simulator, directory: Directory, told: Told
) -> None:
    """It may be a late push, and no reason to wait for data."""
    asked = simulator.calls.count("user/list")
    commits: list[int] = []
    parts.after_batch = lambda outcomes: commits.append(len(outcomes))
    directory.version(simulator.world.ver - 5000)
    await pulled(directory)
    assert commits == []
    assert simulator.calls.count("user/list") == asked + 1
    assert await cursor_is(parts, simulator.world.ver)
    assert len(await told.events()) == 1


async def test_a_delta_that_lags_behind_the_push_is_followed_up(
    parts: Parts, simulator: Simulator, directory: Directory, told: Told
) -> None:
    """An answer with some changes, not the newest: it is asked again until the pushed Ver or in vain."""
    world = simulator.world
    world.modify_user(BOB, name="Robert")
    asked = simulator.calls.count("user/list")
    directory.version(world.ver + 1)
    running = asyncio.create_task(directory.run(lambda: None))
    # One answer with the change, then the four of a push that nothing follows.
    await simulator.calls.wait("user/list", asked + 5)
    running.cancel()
    await asyncio.wait([running])
    assert len(await told.events(*CHANGES)) == 1


async def test_a_cursor_that_another_moved_is_read_again(
    parts: Parts, simulator: Simulator, directory: Directory, told: Told
) -> None:
    """Compare and set: a pull that began from another Ver stores nothing, and begins again from what is stored."""
    await parts.redis.set(KEYS.ver, simulator.world.ver - 1)
    simulator.world.modify_user(BOB, name="Robert")
    directory.version(simulator.world.ver)
    with pytest.raises(CursorElsewhere):
        await pulled(directory)
    assert await told.events(*CHANGES) == []
    await pulled(directory)
    assert len(await told.events(*CHANGES)) == 1
    assert await cursor_is(parts, simulator.world.ver)


async def test_a_mirror_that_redis_lost_is_pulled_again(
    parts: Parts, simulator: Simulator, directory: Directory, news: Callable[[], Any]
) -> None:
    """Told that Redis went back, the directory believes Redis, not itself."""
    past = {key: await parts.redis.dump(key) for key in (KEYS.ver, KEYS.directory)}
    simulator.world.modify_user(BOB, name="Robert")
    await news()
    for key, value in past.items():
        await parts.redis.restore(key, 0, value, replace=True)
    directory.doubt()
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await cursor_is(parts, simulator.world.ver)


async def test_a_big_delta_survives_a_crash_between_its_pieces(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Pieces that were stored are not told again, the others are not lost, and the cursor moves with the last."""
    world = simulator.world
    before, mirror = world.ver, await mirrored(parts.redis)
    for number in range(600):
        world.add_user(f"new{number}@gzdev.com", slaves=(f"alias{number}@gzdev.com",))
    world.delete_user(BOB)
    directory.version(world.ver)
    pulling = asyncio.create_task(directory.run(lambda: None))

    # The journal reports the first piece before anybody else knows of it: the leader is cut right there.
    def cut(_outcomes: Collection[Outcome]) -> None:
        pulling.cancel()

    parts.after_batch = cut
    await asyncio.wait([pulling])
    assert pulling.cancelled()
    parts.after_batch = lambda outcomes: None
    assert await cursor_is(parts, before)
    assert 0 < len(await told.events(*CHANGES)) <= 250
    after = await parts.directory()
    assert after.cursor == before
    await pulled(after)
    events = await told.events(*CHANGES)
    assert len(events) == 601
    assert believed(mirror, events) == await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == slaves_of(world)
    assert await cursor_is(parts, world.ver)


async def test_what_was_begun_with_another_mirror_is_begun_anew(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """A fault broke it off, then Redis went back: the part that was applied is not there any more."""
    world = simulator.world
    past = {key: await parts.redis.dump(key) for key in (KEYS.ver, KEYS.directory)}
    for number in range(600):
        world.add_user(f"new{number}@gzdev.com")
    directory.version(world.ver)
    pulling = asyncio.create_task(pulled(directory))
    await simulator.calls.wait("user/get", 400)
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="user/get", value=502)
    with pytest.raises(ProviderAway):
        await pulling
    assert len(await mirrored(parts.redis)) >= 224
    simulator.faults.clear()
    for key, value in past.items():
        await parts.redis.restore(key, 0, value, replace=True)
    directory.doubt()
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await cursor_is(parts, world.ver)


@pytest.mark.parametrize("seed", range(4))
async def test_mirror_and_events_follow_the_truth(
    parts: Parts, simulator: Simulator, told: Told, news: Callable[[], Any], seed: int
) -> None:
    """After any sequence of changes: mirror == fresh pull, and old mirror + events == new mirror."""
    random, world = seeded(seed, "members"), simulator.world
    for _ in range(6):
        mirror, seen = await mirrored(parts.redis), len(await told.events())
        for _ in range(1 + int(random.random() * 8)):
            alias = random.choice(list(world.accounts))
            other = random.choice(list(world.accounts))
            match random.randrange(5):
                case 0:
                    world.add_user(slaves=(f"s{random.randrange(10**6)}@gzdev.com",))
                case 1:
                    world.modify_user(alias, name=f"N{random.randrange(3)}", mobile=str(random.randrange(3)))
                case 2 if alias != BOB:
                    world.delete_user(alias)
                case 3 if alias != other:
                    mine, theirs = world.accounts[alias].slaves, world.accounts[other].slaves
                    world.modify_user(alias, slaves=theirs)
                    world.modify_user(other, slaves=mine)
                case _:
                    world.modify_user(alias)
        await news()
        now = await mirrored(parts.redis)
        assert now == fresh(world, ALL_FIELDS)
        assert believed(mirror, (await told.events())[seen:]) == now
        assert await mirrored_slaves(parts.redis) == parts.slaves == slaves_of(world)
        assert await cursor_is(parts, world.ver)
