"""Histories over a real cluster: faults by the dice, mails that flow meanwhile, and what everybody saw.

``BRIDGE_TEST_SEEDS=1,2,3 BRIDGE_TEST_FAULTS=6`` plays others, and longer ones.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.e2e.test_failover import Product, product
from tests.support.cluster import ClusterSet
from tests.support.stage import BOB
from tests.support.waiting import until

SEEDS = [int(seed) for seed in os.environ.get("BRIDGE_TEST_SEEDS", "57").split(",")]
FAULTS = int(os.environ.get("BRIDGE_TEST_FAULTS", "3"))
WAYS = ("instead", "beside", "off")


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


async def flows_on(running: Product) -> None:
    """Every browser is told of more."""
    told = [len(browser.events) for browser in running.browsers]
    await until(lambda: all(len(b.events) > n + 15 for b, n in zip(running.browsers, told, strict=True)))


async def fail_over(cluster: ClusterSet, running: Product, *, killed: bool) -> None:
    """The owner dies, or stops and believes in itself when it wakes; another takes its place meanwhile."""
    owner = cluster.owner
    with owner.client() as client:
        port = client.info("replication")["slave0"]["port"]
    replica = next(server for server in cluster.servers if server.port == port)
    if killed:
        owner.kill()
    else:
        owner.pause()
    await cluster.promoted(replica)
    await flows_on(running)
    if killed:
        await asyncio.to_thread(owner.server.restart)
    else:
        owner.wake()
    await until(owner.demoted)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_befalls_a_cluster(seed: int, tmp_path: Path, provider: Simulator) -> None:
    """Its owner is killed or stopped, its slot moves, the feeds are cut: no position is given twice, what browsers look
    at comes right, and where no epoch ended each mail was told once and in order."""
    dice = random.Random(seed)
    settings = {"BRIDGE_REDIS_SHARDED": WAYS[seed % len(WAYS)]}
    async with ClusterSet(tmp_path, replicas=3) as cluster, product(cluster.url, provider, **settings) as running:
        await running.arrived(running.deliver(3))
        flowing = asyncio.create_task(running.flow(), name="mails")
        await flows_on(running)
        cluster.watch_closely()
        for _ in range(FAULTS):
            await until(cluster.settled)
            owner = cluster.owner
            match dice.choice(("kill", "pause", "migrate", "cut")):
                case "migrate" if others := [
                    server for server in cluster.servers if server is not owner and server.role == "master"
                ]:
                    await asyncio.to_thread(cluster.migrate_slot, dice.choice(others))
                case "kill" | "pause" as how:
                    await fail_over(cluster, running, killed=how == "kill")
                case _:
                    with owner.client() as client:
                        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await flows_on(running)
        flowing.cancel()
        await running.arrived(running.deliver(5))
        running.assert_no_position_twice()
        if len(running.epochs()) == 1:
            sent = [mail.mail_id for mail in running.world.mails_of(BOB)]
            assert all(browser.mail_ids == sent for browser in running.browsers)
        assert running.worker.process.returncode is running.edge.process.returncode is None
