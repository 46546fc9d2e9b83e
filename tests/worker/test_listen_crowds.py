"""However many pushes come at once, others have their turn while they are read."""

from __future__ import annotations

from bridge.simulator import Simulator
from tests.support.busy import watched
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker

PUSHES = 8000
CALLS = 90_000
"""What is read of a socket at once is some thirteen hundred short pushes, of 45 calls each."""


async def test_thousands_of_pushes_are_read_in_turns(redis_url: str, simulator: Simulator, told: Told) -> None:
    """As where a whole department is deleted: each account is a push of a cursor."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")
        with watched("listener") as busy:
            for number in range(PUSHES):
                world.modify_user(BOB, name=f"Bob {number}")

            async def is_followed() -> bool:
                return bool(await told.redis.get(KEYS.ver) == str(world.ver).encode())

            await until(is_followed)
    assert busy.most < CALLS
