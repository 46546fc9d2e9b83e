"""A large change is stored in steps that Redis does quickly."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator import Simulator
from bridge.worker.pieces import MOST, Piece, joined
from tests.support.members import fresh, mirrored, mirrored_slaves, slaves_of
from tests.support.workers import KEYS, Told

from .conftest import ALL_FIELDS, Parts, pulled

PARTS = st.lists(
    st.builds(
        lambda alias, size, slaves: Piece(
            profiles={f"{alias}@x.cn": b"x" * size},
            slaves={f"{alias}-{n}@x.cn": f"{alias}@x.cn" for n in range(slaves)},
        ),
        st.integers(),
        st.integers(0, 4000),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(PARTS)
def test_steps_are_bounded_and_nothing_is_lost(parts: list[Piece]) -> None:
    """In entries and in bytes, in order, each account whole in one; only what is too large alone stands alone."""
    pieces = joined(parts, most=20, most_bytes=6000)
    assert pieces
    for piece in pieces:
        assert piece.entries <= 20 or len(piece.profiles) == 1
        assert piece.size <= 6000 or len(piece.profiles) == 1
        assert all(alias in piece.profiles for alias in piece.slaves.values())
    whole = joined(parts, most=10**9, most_bytes=10**9)
    assert len(whole) == 1
    together = Piece()
    for piece in pieces:
        together.add(piece)
    assert (together.profiles, together.slaves) == (whole[0].profiles, whole[0].slaves)
    assert list(together.profiles) == list(whole[0].profiles)


@pytest.mark.parametrize("many", [1200])
async def test_a_large_change_takes_many_calls(parts: Parts, simulator: Simulator, told: Told, many: int) -> None:
    """Thousands of aliases, added and taken away again by an operator: in steps, all there at the end, told once."""
    directory = await parts.directory()
    await pulled(directory)
    for number in range(many):
        aliases = tuple(f"u{number}.{each}@gzdev.com" for each in range(5))
        simulator.world.add_user(f"u{number}@gzdev.com", slaves=aliases)
    batches: list[int] = []
    parts.after_batch = lambda outcomes: batches.append(len(outcomes))
    directory.doubt()
    for _ in range(10):
        # A call that a busy machine was too slow for breaks it off; it goes on where it was.
        await pulled(directory)
        if len(await mirrored(parts.redis)) == len(simulator.world.accounts):
            break
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    # An account with five aliases is more than ten things to write.
    assert len(batches) > 10 * many / MOST
    first, synced = await told.data("directory.synced")
    assert (synced["added"], synced["from_ver"]) == (many, first["to_ver"])
    for number in range(many):
        simulator.world.delete_user(f"u{number}@gzdev.com")
    directory.doubt()
    await pulled(directory)
    held = await parts.mirror.held()
    assert held is not None
    batches.clear()
    assert (await directory.release(held.digest)).deleted == many
    assert len(batches) > 10 * many / MOST
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await mirrored_slaves(parts.redis) == slaves_of(simulator.world)
    assert await parts.mirror.held() is None
    assert [data["deleted"] for data in await told.data("directory.synced")] == [0, 0, many]


async def test_a_leader_reads_hundreds_of_thousands_of_slaves_without_blocking_anybody(parts: Parts) -> None:
    """In pieces, from Redis and into its own index: a hash is not asked for whole, and pushes are read meanwhile."""
    stored = {f"s{number}@gzdev.com": f"u{number // 3}@gzdev.com" for number in range(20_000)}
    await parts.redis.hset(KEYS.slaves, mapping=stored)
    await parts.redis.config_resetstat()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    meanwhile = asyncio.create_task(others())
    directory = await parts.directory()
    meanwhile.cancel()
    assert parts.slaves == stored
    assert turns > len(stored) / 1000
    asked = await parts.redis.info("commandstats")
    assert asked["cmdstat_hscan"]["calls"] > len(stored) / 1000
    known = directory._known
    assert known.related(["u7@gzdev.com"], []) == {f"s{number}@gzdev.com": "u7@gzdev.com" for number in (21, 22, 23)}
