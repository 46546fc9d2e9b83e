"""The history checker: the whole bridge while things break, alone and mixed, and the promises afterwards.

Several histories run at the same time, because each of them mostly waits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bridge.journal.embedded import EmbeddedServer
from tests.support.history.checker import check
from tests.support.history.harness import DURABLE, Harness
from tests.support.history.injection import REGISTRY, play, play_one

SEEDS: Final = [int(seed) for seed in os.environ.get("BRIDGE_TEST_SEEDS", "1,2,3").split(",")]
FAULTS: Final = int(os.environ.get("BRIDGE_TEST_FAULTS", "8"))
_AT_ONCE: Final = 3
_DEEDS_EACH: Final = 5

Play = Callable[[Harness], Awaitable[None]]


async def play_all(folder: Path, plays: list[tuple[int, Play, str]], *, people: bool = False) -> None:
    """Play with each seed, three at once, and check; a failure prints what was done and a command.

    ``people``: they come and go meanwhile.
    """
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, seed: int, play: Play, command: str) -> None:
        async with places:
            with EmbeddedServer(folder / str(number), config=DURABLE) as server:
                async with Harness(server, seed, people=people) as harness:
                    try:
                        await play(harness)
                        await check(harness)
                    except BaseException:
                        print(f"seed {seed}, faults:", *harness.done)
                        print(f"replay: {command}python3 -m bridge test tests/e2e/test_history.py")
                        raise

    async with asyncio.TaskGroup() as tasks:
        for number, each in enumerate(plays):
            tasks.create_task(one(number, *each))


async def test_each_fault_alone(tmp_path: Path) -> None:
    """One thing breaks after the other, and between two of them everything is whole again."""
    names = sorted(name for name, (part, _) in REGISTRY.items() if part != "directory")
    # What takes long stands side by side in the alphabet.
    groups = [names[first :: -(-len(names) // _DEEDS_EACH)] for first in range(-(-len(names) // _DEEDS_EACH))]

    def one_by_one(group: list[str]) -> Play:
        async def play(harness: Harness) -> None:
            for name in group:
                await play_one(harness, name)
                await harness.calm()

        return play

    await play_all(tmp_path, [(number, one_by_one(group), "") for number, group in enumerate(groups)])


async def test_nothing_lost_nothing_twice_nothing_silent(tmp_path: Path) -> None:
    """Whatever breaks: committed mails arrive once and in order, all others are announced, counts end up right.

    And who may look does, who may not does not, and nobody sees another's mails, while people come and go.
    """

    async def mixed(harness: Harness) -> None:
        await play(harness, FAULTS)
        await harness.calm()

    replay = f"BRIDGE_TEST_FAULTS={FAULTS} BRIDGE_TEST_SEEDS="
    await play_all(tmp_path, [(seed, mixed, f"{replay}{seed} ") for seed in SEEDS], people=True)
