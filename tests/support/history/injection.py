"""Inject faults into a running bridge while its users work. The seed decides what breaks, when and for how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.history import ours, theirs
from tests.support.history.harness import Harness
from tests.support.history.registry import REGISTRY

__all__ = ["REGISTRY", "ours", "play", "play_one", "theirs"]


async def play(harness: Harness, faults: int) -> None:
    """Inject ``faults`` faults, one after the other and now and then two at once, while users work.

    Where people come and go, a fault of the directory is added every other time, from a random source of its own.
    """
    async with _users_at_work(harness):
        for number in range(faults):
            dice = random.Random(f"{harness.seed} {number}")
            await asyncio.sleep(dice.uniform(0.2, 0.8))
            faults = [name for name in sorted(REGISTRY) if REGISTRY[name][0] != "directory"]
            names = [dice.choice(faults)]
            others = [name for name in faults if REGISTRY[name][0] != REGISTRY[names[0]][0]]
            if dice.random() < 0.5:
                names.append(dice.choice(others))
            of_directory = random.Random(f"{harness.seed} {number} directory")
            if harness.people and of_directory.random() < 0.5:
                names.append(of_directory.choice(sorted(REGISTRY.keys() - faults)))
            harness.done.append("+".join(names))
            async with asyncio.TaskGroup() as under_way:
                for name in names:
                    under_way.create_task(REGISTRY[name][1](harness, random.Random(f"{harness.seed} {number} {name}")))


async def play_one(harness: Harness, name: str) -> None:
    """Inject this one fault while users work."""
    async with _users_at_work(harness):
        harness.done.append(name)
        await REGISTRY[name][1](harness, random.Random(f"{harness.seed} {name}"))


@asynccontextmanager
async def _users_at_work(harness: Harness) -> AsyncIterator[None]:
    traffic = asyncio.create_task(harness.traffic(), name="traffic")
    tasks = [traffic]
    if harness.people:
        tasks.append(asyncio.create_task(harness.staff.come_and_go(), name="people"))
    try:
        await asyncio.sleep(0.2)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()
