"""However many accounts there are, nobody waits for what is done with all of them."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Sequence

import pytest

from bridge.events import to_json
from bridge.journal.made import REVISION, Made
from bridge.provider.faults import ProviderAway
from bridge.simulator import Kind, Simulator
from bridge.worker.allowance import Allowance
from bridge.worker.directory import Directory
from bridge.worker.fold import FIELDS
from bridge.worker.guard import Guard
from bridge.worker.portions import PORTION, given_up, in_order
from bridge.worker.profiles import Fetch
from tests.support.busy import watched
from tests.support.workers import KEYS, Told

from .conftest import Parts, pulled

MANY = 6000
LETTERS = "xyz"
VER = 1_795_497_613_538
EVERYTHING = Guard(share=1.0)
CALLS = 120_000
"""A part of 250 accounts with all their slaves takes some 60,000."""


def alias(number: int) -> str:
    return f"u{number}@gzdev.com"


async def store(parts: Parts, directory: str, slaves: str) -> None:
    """Put many accounts there, as a leader does."""
    for start in range(0, MANY, 1000):
        numbers = range(start, start + 1000)
        profiles = {alias(number): to_json({"alias": alias(number), "ext_id": f"E{number}"}) for number in numbers}
        further = {f"{letter}{number}@gzdev.com": alias(number) for number in numbers for letter in LETTERS}
        await parts.redis.hset(directory, mapping=profiles)
        await parts.redis.hset(slaves, mapping=further)


async def filled(parts: Parts, guard: Guard) -> Directory:
    await store(parts, KEYS.directory, KEYS.slaves)
    privacy, fields, revision = Made("full", frozenset(FIELDS), REVISION).as_fields()
    await parts.redis.hset(KEYS.made, mapping={"privacy": privacy, "fields": fields, "revision": revision})
    await parts.redis.set(KEYS.ver, VER)
    return await parts.directory(guard=guard)


def lists(simulator: Simulator, lines: Sequence[tuple[int, str]]) -> None:
    """``user/list`` answers this from now on: action and alias of each line."""
    listed = ",".join(f'{{"Action":{action},"Alias":"{alias}"}}' for action, alias in lines)
    body = f'{{"Ver":{VER + 1},"Count":{len(lines)},"List":[{listed}]}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=body)


async def test_a_fill_is_swapped_in_without_a_stand(parts: Parts, simulator: Simulator, told: Told) -> None:
    """All that was staged becomes known, addresses and all, a portion at a time."""
    await store(parts, KEYS.directory_next, KEYS.slaves_next)
    fields = hashlib.sha256(",".join(sorted(FIELDS)).encode()).hexdigest()[:8]
    await parts.redis.set(KEYS.ver_next, f"{VER}:{fields}")
    lists(simulator, [(2, alias(number)) for number in range(MANY)] + [(2, "bob@gzdev.com")])
    directory = await parts.directory()
    with watched("directory") as busy:
        await pulled(directory)
    assert await parts.redis.hlen(KEYS.directory) == MANY + 1
    assert len(parts.slaves) == MANY * len(LETTERS)
    assert busy.most < 4 * PORTION


async def test_of_many_who_are_gone_each_is_barred_before_anybody_is_asked_for(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Whoever leaves loses his access first, a part at a time, though the provider answers nothing more."""
    directory = await filled(parts, EVERYTHING)
    lists(simulator, [(3, alias(0)), *((1, alias(number)) for number in range(1, 3000))])
    simulator.faults.on(Kind.HTTP_STATUS, endpoint="user/get", value=502)
    with watched("directory") as busy, pytest.raises(ProviderAway):
        await pulled(directory)
    assert await parts.redis.scard(KEYS.barred) == await parts.redis.hlen(KEYS.owed) == 2999
    assert busy.most < CALLS


async def test_many_are_held_and_released_without_a_stand(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A sixth of the company: they are judged together, and deleted a part at a time."""
    directory = await filled(parts, Guard())
    lists(simulator, [(1, alias(number)) for number in range(1000)])
    with watched("directory") as busy:
        await pulled(directory)
    held = await parts.mirror.held()
    assert held is not None
    assert held.aliases == tuple(sorted(alias(number) for number in range(1000)))
    [announced] = await told.data("directory.held")
    assert announced["deleted"] == 1000
    with watched("released") as releasing:
        assert (await released(directory, held.digest)) == 1000
    assert await parts.redis.hlen(KEYS.directory) == MANY - 1000
    assert max(busy.most, releasing.most) < CALLS


async def released(directory: Directory, digest: str) -> int:
    task = asyncio.create_task(directory.release(digest), name="released")
    return (await task).deleted


async def test_the_first_of_many_changes_is_told_before_the_others_are_asked_for(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """The first part of an answer is small, and the next ones are larger."""
    world = simulator.world
    aliases = [world.add_user(f"new{number}@gzdev.com").alias for number in range(300)]
    directory = await filled(parts, Guard())
    lists(simulator, [(2, alias) for alias in aliases])
    asked: list[int] = []
    parts.after_batch = lambda outcomes: asked.append(simulator.calls.count("user/get"))
    await pulled(directory)
    assert len(await told.data("directory.user.added")) == 300
    assert asked[0] <= 50


async def test_large_lists_are_sorted_and_freed_in_portions() -> None:
    """In between the event loop has its turn."""
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    names = [alias(number * 7919 % (10 * PORTION)) for number in range(10 * PORTION)]
    others = asyncio.create_task(take_turns(), name="others")
    assert await in_order(set(names)) == sorted(names)
    assert turns >= 10
    await given_up(names)
    assert names == []
    assert turns >= 20
    others.cancel()


@pytest.mark.parametrize("exist", [True, False], ids=["there", "gone"])
async def test_accounts_that_were_read_are_freed_without_the_collector(
    parts: Parts, simulator: Simulator, exist: bool
) -> None:
    """What a part has found goes when the part is stored, refusals too: nothing of a run refers to itself."""
    aliases = [f"new{number}@gzdev.com" for number in range(200)]
    if exist:
        for each in aliases:
            simulator.world.add_user(each)
    fetch = Fetch(parts.members, FIELDS, Allowance(), aliases, looks_again=True)
    await fetch.run()
    assert (len(fetch.found), len(fetch.unread)) == ((200, 0) if exist else (0, 200))
    gc.collect()
    gc.disable()
    try:
        fetch = Fetch(parts.members, FIELDS, Allowance(), aliases, looks_again=True)
        await fetch.run()
        del fetch
        assert gc.collect() < 200
    finally:
        gc.enable()


async def test_whether_somebody_was_renamed_is_found_out_a_piece_at_a_time(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Nobody else may have the ExtId: everybody's is looked at, and only those that matter are kept."""
    directory = await filled(parts, Guard())
    simulator.world.add_user("new@gzdev.com", ext_id="E7")
    lists(simulator, [(1, alias(7)), (2, "new@gzdev.com")])
    with watched("directory") as busy:
        await pulled(directory)
    assert await parts.redis.hexists(KEYS.directory, "new@gzdev.com")
    assert busy.most < PORTION
