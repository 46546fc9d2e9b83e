"""What is looked at in portions lets others have the loop in between."""

from __future__ import annotations

import asyncio

import pytest

from bridge.edge.portions import portions


@pytest.mark.parametrize("number", [0, 1, 3, 4, 7])
async def test_all_come_in_order_and_others_in_between(number: int) -> None:
    """Those that were there at the beginning; whoever waits for the loop has it between any two portions."""
    things = list(range(number))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    seen: list[list[int]] = []
    async for some in portions(things, 3):
        things.append(-1)
        seen.append(some)
        assert turns >= len(seen) - 1
    task.cancel()
    assert seen == [list(range(number))[start : start + 3] for start in range(0, number, 3)]
