"""Traffic: lively, seeded, and it can be stopped."""

from __future__ import annotations

import asyncio

import pytest

from bridge.simulator import Action, Mail, Traffic, UnreadCount, World
from bridge.simulator.world.world import Change
from tests.support.waiting import PATIENCE_S


def happenings(seed: int, steps: int) -> list[Change]:
    world, told = World(seed, now=lambda: 1386593148.546), []
    world.watch(told.extend)
    traffic = Traffic(world)
    for _ in range(steps):
        traffic.step()
    return told


def test_steps_are_seeded():
    """The same seed has the same happenings."""
    assert [repr(change) for change in happenings(1, 300)] == [repr(change) for change in happenings(1, 300)]
    assert [repr(change) for change in happenings(1, 300)] != [repr(change) for change in happenings(2, 300)]


def test_mostly_mail_some_reading_rarely_the_directory():
    """What a company does on an ordinary day, and no account that was there from the start is deleted."""
    told = happenings(1, 5000)
    mails = sum(isinstance(change, Mail) for change in told)
    reads = sum(isinstance(change, UnreadCount) for change in told)
    directory = len(told) - mails - reads
    assert mails > reads > directory > 0
    world = World(1, now=lambda: 1386593148.546)
    deleted = {change.alias for change in told if getattr(change, "action", None) is Action.DEL}
    assert not deleted & set(world.accounts)


def test_parties_move_with_their_members():
    """Traffic renames a project group now and then, and who is in it follows; no profile names a party that is not."""
    world = World(1, now=lambda: 1386593148.546)
    traffic, groups = Traffic(world), set()
    for _ in range(30_000):
        traffic.step()
        groups |= {path for path in world.roster.parties.paths if "项目组" in path}
    assert len(groups) > 1
    named = {party for account in world.accounts.values() for party in account.parties}
    assert named <= set(world.roster.parties.paths)


async def test_it_runs_pauses_and_goes_on(simulate, world):
    """The rate takes effect at once; paused means nothing at all."""
    simulator = await simulate()
    told = asyncio.Queue[Change]()
    world.watch(lambda changes: [told.put_nowait(change) for change in changes])
    simulator.traffic.rate_per_s = 0.001
    simulator.traffic.rate_per_s = 1000.0
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(20):
            await told.get()
    simulator.traffic.pause()
    assert simulator.traffic.paused
    while not told.empty():
        told.get_nowait()
    # Two turns of the loop: the running sleep is woken and ends without another step.
    for _ in range(5):
        await asyncio.sleep(0)
    assert told.empty()
    simulator.traffic.resume()
    async with asyncio.timeout(PATIENCE_S):
        await told.get()


def test_a_rate_is_not_negative():
    """A mistake is refused where it is made."""
    with pytest.raises(ValueError, match="negative"):
        Traffic(World(1)).rate_per_s = -1
