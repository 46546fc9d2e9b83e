"""A leader that claims again: what it may believe of the server that it finds, and what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from bridge.journal.errors import JournalAway, LeaseLost
from bridge.journal.writer import Writer

from .conftest import KEYS, mail

ANOTHER = "1" * 40


@pytest.fixture
async def leader(writer: Writer) -> Writer:
    """It has committed one mail."""
    await writer.commit([mail("Z1")])
    return writer


@contextmanager
def answers(writer: Writer, *, lost: bool = False) -> Any:
    """What its claims are answered; ``lost``: the first one is applied, and nobody hears of it."""
    run, found = writer._script.run, []

    async def spied(calls: Sequence[Any]) -> list[list[Any]]:
        told = await run(calls)
        found.append(told[0])
        if lost and len(found) == 1:
            raise JournalAway("the answer was lost")
        return told

    writer._script.run = spied  # type: ignore[method-assign]
    try:
        yield found
    finally:
        writer._script.run = run  # type: ignore[method-assign]


async def test_a_claim_that_was_judged_and_not_heard_is_not_judged_again(leader: Writer, redis: Any) -> None:
    """On another server it begins a generation once, and who led before is who led before the first of the two."""
    former = await redis.hget(KEYS.upstream, "leader")
    leader._server = ANOTHER
    await redis.delete(KEYS.lease)
    with answers(leader, lost=True) as found:
        with pytest.raises(JournalAway):
            await leader.claim()
        begun = int(await redis.get(KEYS.generation))
        claimed = await leader.claim()
    assert claimed is not None
    assert (claimed.generation, claimed.fence) == (begun, 2)
    assert [answer[-1] for answer in found] == [former, former]


async def test_what_was_sent_counts_on_another_server_alone(leader: Writer, redis: Any) -> None:
    """Here it never arrived, or was refused; there it may have been published and lost."""
    before = leader.generation
    leader._sent += 1
    await redis.delete(KEYS.lease)
    claimed = await leader.claim()
    assert claimed is not None
    assert claimed.generation == before
    leader._sent += 1
    leader._server = ANOTHER
    fence = leader.fence
    claimed = await leader.claim()
    assert claimed is not None
    assert claimed.generation > before
    # What was sent under the old one is refused, wherever it still is.
    assert claimed.fence == fence + 1


async def test_a_lease_that_ran_out_on_another_server_proves_nothing(leader: Writer, redis: Any) -> None:
    """Whoever led meanwhile, on the server of before, may have published what this one does not know."""
    before = leader.generation
    await redis.delete(KEYS.lease)
    await redis.set(KEYS.server, ANOTHER)
    claimed = await leader.claim()
    assert claimed is not None
    assert claimed.generation > before


async def test_a_memory_of_an_older_generation_proves_no_loss(leader: Writer) -> None:
    """What others were given before this generation began is not lacking in it."""
    before = leader.generation
    claimed = await leader._claim(resending=False, remembered=before - 1)
    assert claimed is not None
    assert claimed.generation == before
    claimed = await leader._claim(resending=False, remembered=before)
    assert claimed is not None
    assert claimed.generation > before


@pytest.mark.parametrize("numbers", ["the same fence", "a lower fence and a later generation"])
async def test_another_who_led_under_our_numbers_has_led(leader: Writer, redis: Any, numbers: str) -> None:
    """Two servers that went apart count on from the same numbers; the name of who led tells them apart."""
    await redis.delete(KEYS.lease)
    leader._fence = 1 if numbers == "the same fence" else 2
    generation = leader.generation + (0 if numbers == "the same fence" else 5)
    await redis.set(KEYS.generation, generation)
    await redis.hset(KEYS.upstream, "leader", f"1:{generation}:{'f' * 16}")
    claimed = await leader.claim()
    assert claimed is not None
    assert claimed.another_led


async def test_a_leader_that_merely_lost_its_lease_was_not_followed_by_anybody(leader: Writer, redis: Any) -> None:
    """Its own name stands there."""
    await redis.delete(KEYS.lease)
    claimed = await leader.claim()
    assert claimed is not None
    assert not claimed.another_led


async def test_under_other_numbers_than_ours_the_name_is_no_proof(leader: Writer, redis: Any) -> None:
    """A generation that we began and whose answer was lost. Another was seen to lead in it on another server, so nobody
    knows here what came after it."""
    begun = leader._seen_generation = leader.generation + 5
    await redis.set(KEYS.generation, begun)
    await redis.hset(KEYS.upstream, "leader", f"{leader.fence}:{begun}:{leader._name}")
    leader._server = ANOTHER
    claimed = await leader.claim()
    assert claimed is not None
    assert claimed.generation > begun


async def test_a_renewal_elsewhere_keeps_no_lease_where_something_sent_may_be_lost(leader: Writer) -> None:
    """A call that was not answered on the server of before: what it published may be missing on this one."""
    await leader.renew()
    leader._sent += 1
    await leader.renew()
    leader._server = ANOTHER
    with pytest.raises(LeaseLost, match="back"):
        await leader.renew()
