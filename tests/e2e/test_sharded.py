"""A cluster of three whose owner fails while mails come by its own channels: real servers, real programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.e2e.test_failover import product, what_was_lost
from tests.support.cluster import ClusterSet
from tests.support.processes import program, worker_environ
from tests.support.stage import BOB, KEYS
from tests.support.waiting import until


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


async def test_a_cluster_that_changes_its_channels_and_loses_its_owner(tmp_path: Path, provider: Simulator) -> None:
    """The worker is set to sharded channels and started again; then the node that holds the namespace is killed while
    mails flow, and comes back as a replica of the other. Whoever has a connection open is told everything once and in
    order; what the promoted node may lack begins a new epoch, and is said."""
    async with ClusterSet(tmp_path) as cluster, product(cluster.url, provider) as running:
        await running.arrived(running.deliver(3))
        assert await running.worker.stop() == 0
        environ = worker_environ(cluster.url, provider, BRIDGE_WORKER_LEASE="30", BRIDGE_REDIS_SHARDED="instead")
        async with program("worker", environ=environ) as worker:
            await until(lambda: bool(worker.said("listen session online")))
            await running.arrived(running.deliver(3))
            owner, replica = cluster.owner, cluster.servers[3]
            with owner.client() as client:
                # Nothing of a mailbox is published for everybody any more, and nobody listens there.
                await until(lambda: client.pubsub_numsub(KEYS.mailbox_channel(BOB))[0][1] == 0)
            flowing = asyncio.create_task(running.flow(), name="mails")
            told = [len(browser.events) for browser in running.browsers]
            await until(lambda: all(len(b.events) > n + 20 for b, n in zip(running.browsers, told, strict=True)))
            cluster.watch_closely()
            owner.kill()
            await cluster.promoted(replica)
            told = [len(browser.events) for browser in running.browsers]
            await until(lambda: all(len(b.events) > n + 20 for b, n in zip(running.browsers, told, strict=True)))
            flowing.cancel()
            await asyncio.to_thread(owner.server.restart)
            await until(owner.demoted)
            await running.arrived(running.deliver(5))
            running.assert_no_position_twice()
            sent = [mail.mail_id for mail in running.world.mails_of(BOB)]
            if len(running.epochs()) == 1:
                assert all(browser.mail_ids == sent for browser in running.browsers)
            else:
                running.assert_told_of_the_new_epoch()
                assert (await what_was_lost(replica.server.url))["why"] == "Redis went back"
            assert worker.process.returncode is running.edge.process.returncode is None
