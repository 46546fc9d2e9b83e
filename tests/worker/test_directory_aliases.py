"""Whom an alias means: whoever has its account, also where the name of both stays what it was."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.standing import Asker, Standings
from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from tests.support.workers import BOB, KEYS

from .conftest import Parts, pulled
from .test_directory_persons import OTHER_SLAVE, SLAVE, directory, look

__all__ = ["directory"]


async def standings(parts: Parts) -> dict[str, tuple[str, bool]]:
    """Of each address the account that it means, and whether it came to mean another person."""
    addresses = (BOB, SLAVE, OTHER_SLAVE)
    found = await Standings(parts.redis, KEYS).look([Asker(address, "") for address in addresses])
    return {address: (one.account, one.moved is not None) for address, one in zip(addresses, found, strict=True)}


@pytest.mark.parametrize("between", ["one answer", "two answers", "another leader", "not to be read at first"])
async def test_an_alias_of_an_account_that_was_made_anew_is_another_persons_too(
    parts: Parts, simulator: Simulator, directory: Directory, between: str
) -> None:
    """The new holder was given the same alias: it means the same account, and somebody else."""
    world = simulator.world
    directory = await parts.directory(second_look_s=3600)
    world.delete_user(BOB)
    if between in ("two answers", "another leader"):
        await look(directory)
    if between == "another leader":
        directory = await parts.directory(second_look_s=3600)
    world.add_user(BOB, name="Another Bob", slaves=(SLAVE,))
    if between == "not to be read at first":
        simulator.faults.on(Kind.GET_LATE, value=3600)
        await look(directory)
        assert BOB in await parts.mirror.barred()
        simulator.faults.clear()
        directory = await parts.directory()
    await look(directory)
    assert await standings(parts) == {BOB: (BOB, True), SLAVE: (BOB, True), OTHER_SLAVE: (OTHER_SLAVE, False)}


async def test_a_change_of_person_that_redis_lost_is_told_again(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """What was stored of it went in one step with the cursor, and goes with it; the provider tells of it once more."""
    redis: Any = parts.redis
    before = {key: await redis.dump(key) for key in await redis.keys()}
    other = list(simulator.world.accounts)[-1]
    simulator.world.delete_user(BOB)
    simulator.world.add_user(BOB, name="Another Bob", slaves=(SLAVE,))
    simulator.world.modify_user(other, slaves=(OTHER_SLAVE,))
    expected = {BOB: (BOB, True), SLAVE: (BOB, True), OTHER_SLAVE: (other, True)}
    await look(directory)
    assert await standings(parts) == expected
    await redis.flushdb()
    for key, dump in before.items():
        await redis.restore(key, 0, dump)
    assert await standings(parts) == {BOB: (BOB, False), SLAVE: (BOB, False), OTHER_SLAVE: (OTHER_SLAVE, False)}
    await pulled(await parts.directory())
    assert await standings(parts) == expected
