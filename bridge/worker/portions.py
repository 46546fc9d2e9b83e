"""Work on all accounts at once, in portions between which the event loop does what else is due.

Each function below does in pieces of some thousand what Python would do in one call, for which every push and every
question would wait: a thread does not help, because a single call does not let go of the interpreter either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, MutableSequence, Sequence
from typing import Any, Final

PORTION: Final = 5000
"""Texts that take a few milliseconds at most."""


async def in_order(texts: Collection[str]) -> list[str]:
    """Sort texts."""
    found = list(texts)
    for start in range(0, len(found), PORTION):
        found[start : start + PORTION] = sorted(found[start : start + PORTION])
        await asyncio.sleep(0)
    # Of portions that are sorted Python makes one list by few comparisons.
    found.sort()
    await asyncio.sleep(0)
    return found


async def as_set(texts: Sequence[str]) -> set[str]:
    """Put texts into a set."""
    found: set[str] = set()
    for start in range(0, len(texts), PORTION):
        found.update(texts[start : start + PORTION])
        await asyncio.sleep(0)
    return found


async def without(texts: Collection[str], left_out: Collection[str]) -> list[str]:
    """All but some, in their order."""
    found: list[str] = []
    for number, text in enumerate(texts, 1):
        if text not in left_out:
            found.append(text)
        if number % PORTION == 0:
            await asyncio.sleep(0)
    return found


async def given_up(*outdated: MutableSequence[Any]) -> None:
    """Empty lists: to free a million texts takes as long as to read them."""
    for each in outdated:
        while each:
            del each[-PORTION:]
            await asyncio.sleep(0)
