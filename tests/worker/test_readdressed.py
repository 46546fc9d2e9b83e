"""Addresses that an earlier release stored by Unicode's rules of lower case: asked about anew at the first start."""

from __future__ import annotations

from dataclasses import replace

from bridge.events import to_json
from bridge.simulator import Simulator
from tests.support.stage import mail
from tests.support.waiting import until
from tests.support.workers import KEYS, Told, running_worker

from .conftest import Parts

STORED, GIVEN = "kevin@gzdev.com", "\u212aevin@gzdev.com"
SLAVE, SLAVE_GIVEN = "kelvin@gzdev.com", "\u212aelvin@gzdev.com"


async def test_they_are_their_accounts_again_and_what_stood_under_the_other_name_goes(
    redis_url: str, parts: Parts, simulator: Simulator, told: Told
) -> None:
    """The account is known by its own address, the one that nobody has is told to be gone, and keeps nothing."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")
    someone = next(iter(world.accounts.values()))
    world.enrol(replace(someone, alias=GIVEN, slaves=(SLAVE_GIVEN,)))
    # As that release left it.
    await told.redis.hset(KEYS.directory, STORED, to_json({"alias": STORED}))
    await told.redis.hset(KEYS.slaves, SLAVE, STORED)
    await told.redis.delete(KEYS.made, KEYS.lease)
    await (await parts.writer()).commit([mail("Z1", mailbox=STORED)])
    await told.redis.delete(KEYS.lease)
    async with running_worker(redis_url, simulator):
        await told.wait("directory.user.deleted")
        await until(lambda: _is_settled(told))
    assert [data["alias"] for data in await told.data("directory.user.added")] == [GIVEN]
    assert [data["alias"] for data in await told.data("directory.user.deleted")] == [STORED]
    slaves = await parts.mirror.slaves()
    assert (slaves.get(SLAVE), slaves.get(SLAVE_GIVEN)) == (None, GIVEN)
    assert STORED in await parts.mirror.barred()
    assert not await told.redis.exists(KEYS.state(STORED), KEYS.log(STORED), KEYS.seen(STORED))


async def _is_settled(told: Told) -> bool:
    return not await told.redis.exists(KEYS.owed)
