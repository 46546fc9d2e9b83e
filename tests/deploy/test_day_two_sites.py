"""``docs/day-two.md``: two data centres that are turned over by hand, as the page says, under browsers and mail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.support.day_two import Audience, Site, audience, commands, site
from tests.support.operated import network
from tests.support.stage import KEYS
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@pytest.fixture
async def sites(
    require_binary: Callable[[str], str], tmp_path: Path, provider: Simulator
) -> AsyncIterator[tuple[Site, Site]]:
    """Two sites, each with a Redis of its own that its settings name; the first is active."""
    require_binary("redis-server")
    net = network()
    names = {"redis-a.corp.com": f"{net}.1", "redis-b.corp.com": f"{net}.2"}
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(site(tmp_path / address, address)) for address in names.values()
        ]
        await asyncio.gather(
            *(one.set_up(provider, names, redis=name) for one, name in zip((first, second), names, strict=True))
        )
        await first.run("systemctl enable --now exmail-bridge-worker@1 exmail-bridge-edge")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        yield first, second


def exchanged(block: str) -> str:
    """The same with the sites exchanged."""
    return re.sub(r"redis-([ab])", lambda site: f"redis-{'ba'['ab'.index(site[1])]}", block)


def lead_to(people: Audience, active: Site) -> None:
    """The public name leads there from now on."""
    for browser in people.browsers:
        browser.url = active.url


async def test_sites_are_turned_over_and_back(sites: tuple[Site, Site], provider: Simulator) -> None:
    """Each turn is one new snapshot for everybody, with mails in order and none twice; after a loss it is said that
    events may be gone. There is one listener at any time, and a passive site never leads."""
    first, second = sites
    [prepare] = commands("Prepare")
    leave, take, close = commands("Turn over as planned")
    async with audience(provider, first.url) as people:
        await people.are_told(people.deliver(3))
        await second.follow(prepare)

        # As planned: the first site's pages are told by the second before they move.
        await first.follow(leave)
        await second.follow(take)
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await people.are_told(people.deliver(3))
        lead_to(people, second)
        await first.follow(close)
        await people.are_told(people.deliver(3))
        people.assert_once_and_in_order()
        people.assert_reset_once()
        assert (first.services.enabled, set(first.services.running)) == (set(), {"redis-server"})
        assert second.services.enabled == set(second.services.running) - {"redis-server"}

        # A worker that somebody starts at the passive site stands by, and is seen to.
        await first.run("systemctl start exmail-bridge-worker@1")
        worker = first.services.running["exmail-bridge-worker@1"]
        waits, *_ = await worker.heard("waiting for Redis")
        assert waits["error"].startswith("this server is a replica and takes no writes")
        assert (provider.listeners.count, worker.said("leading")) == (1, [])
        await first.run("systemctl stop exmail-bridge-worker@1")
        await people.are_told(people.deliver(1))

        # The second site is lost, when the first has everything of it: what else would be missing is no part of this.
        with first.redis() as here, second.redis() as there:
            await until(lambda: here.get(KEYS.commits) == there.get(KEYS.commits))
        await second.services.lose_power()
        missed = people.deliver(2)
        [promote] = commands("Turn over after a loss")
        await first.follow(exchanged(promote))
        lead_to(people, first)
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await people.are_told(people.deliver(3))
        people.assert_once_and_in_order()
        await until(lambda: first.missed() == len(missed))
        assert "exmail.upstream.missed" in {event["type"] for event in first.events()}

        # It comes back with old data, and becomes the passive one.
        await second.services.do("start", "redis-server")
        [turn_back] = commands("Turn back")
        await second.follow(exchanged(turn_back))
        await people.are_told(people.deliver(1))
        with first.redis() as here, second.redis() as there:
            await until(lambda: there.get(KEYS.commits) == here.get(KEYS.commits))
            assert there.role()[0] == b"slave"
        assert len({snapshot["position"].split("-")[0] for each in people.browsers for snapshot in each.snapshots}) == 3
