"""Break a theatre while its users work. What is broken when, and for how long, follows from the seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.history import ours, theirs
from tests.support.history.deeds import DEEDS
from tests.support.history.theatre import Theatre

__all__ = ["DEEDS", "ours", "play", "play_one", "theirs"]


async def play(theatre: Theatre, faults: int) -> None:
    """Let users work all the while, and break ``faults`` times something, now and then two things at once.

    Where people come and go the directory goes wrong, too, every other time and by dice of its own.
    """
    async with _users_at_work(theatre):
        for number in range(faults):
            dice = random.Random(f"{theatre.seed} {number}")
            await asyncio.sleep(dice.uniform(0.2, 0.8))
            deeds = [name for name in sorted(DEEDS) if DEEDS[name][0] != "directory"]
            names = [dice.choice(deeds)]
            others = [name for name in deeds if DEEDS[name][0] != DEEDS[names[0]][0]]
            if dice.random() < 0.5:
                names.append(dice.choice(others))
            of_directory = random.Random(f"{theatre.seed} {number} directory")
            if theatre.people and of_directory.random() < 0.5:
                names.append(of_directory.choice(sorted(DEEDS.keys() - deeds)))
            theatre.done.append("+".join(names))
            async with asyncio.TaskGroup() as under_way:
                for name in names:
                    under_way.create_task(DEEDS[name][1](theatre, random.Random(f"{theatre.seed} {number} {name}")))


async def play_one(theatre: Theatre, name: str) -> None:
    """Let users work, and break this one thing."""
    async with _users_at_work(theatre):
        theatre.done.append(name)
        await DEEDS[name][1](theatre, random.Random(f"{theatre.seed} {name}"))


@asynccontextmanager
async def _users_at_work(theatre: Theatre) -> AsyncIterator[None]:
    traffic = asyncio.create_task(theatre.traffic(), name="traffic")
    tasks = [traffic]
    if theatre.people:
        tasks.append(asyncio.create_task(theatre.staff.come_and_go(), name="people"))
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
