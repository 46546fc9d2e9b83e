"""A generation that a leader begins on purpose: what was stored under a wider setting is taken out."""

from __future__ import annotations

from typing import Any

from bridge.journal.calls import Bury
from bridge.journal.made import Made
from bridge.journal.writer import Writer

from .conftest import KEYS, mail

MADE = Made("count", None, 1)


async def test_who_began_it_leads_on_in_it(writer: Writer, redis: Any) -> None:
    """A lease that merely ran out afterwards is claimed again: nobody else has led, and no further one begins."""
    await writer.commit([mail("Z1")])
    before = writer.generation
    await writer.begin_generation(MADE)
    assert writer.generation > before
    begun = writer.generation
    await redis.delete(KEYS.lease)
    claimed = await writer.claim()
    assert claimed is not None
    assert (claimed.generation, claimed.another_led) == (begun, False)


async def test_it_is_above_the_one_before_whatever_the_clock_says(writer: Writer, redis: Any) -> None:
    """A server whose clock is behind numbers on."""
    far = 4_000_000_000_000
    await redis.set(KEYS.generation, far)
    await writer.begin_generation(MADE)
    assert writer.generation == far + 1
    assert await redis.get(KEYS.generation) == str(far + 1).encode()


async def test_of_the_dead_only_those_without_a_text_stay(writer: Writer, redis: Any) -> None:
    """A masked one says nothing that a narrower privacy forbids."""
    await writer.commit(
        [Bury("bad-json", 9, b"a", "whole"), Bury("shape", 9, b"b", "masked"), Bury("x", 9, b"c", "cut")]
    )
    await writer.begin_generation(MADE)
    assert [fields[b"document"] for _, fields in await redis.xrange(KEYS.dead)] == [b"b"]
