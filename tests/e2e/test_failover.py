"""Redis moves, or goes back in time, under the whole product: real servers, real programs, browsers that stay.

However it comes: no position is ever given twice with other contents, what browsers look at comes right by itself, and
what may be lost is said. Where nothing was lost, nothing is noticed but a pause.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following, stored_events
from tests.support.cluster import ClusterSet
from tests.support.follower import Follower
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.sentinel import DataServer, SentinelSet
from tests.support.stage import BOB, KEYS
from tests.support.waiting import until


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@dataclass
class Product:
    """A worker, an edge, and two browsers on Bob's mailbox, one of each transport."""

    world: World
    worker: Program
    edge: Program
    browsers: Sequence[Follower]

    def deliver(self, count: int) -> list[str]:
        return [mail.mail_id for mail in self.world.deliver_many(count, BOB)]

    async def arrived(self, mail_ids: Sequence[str]) -> None:
        """Return when every browser was told of these mails, live or in a snapshot, and shows the right count."""

        def all_told() -> bool:
            return all(
                {event["data"].get("mail_id") for event in seen_by(browser)} >= set(mail_ids)
                and browser.unread == self.world.unread[BOB]
                for browser in self.browsers
            )

        await until(all_told)

    async def flow(self) -> None:
        """Mails come without end."""
        while True:
            self.deliver(1)
            await asyncio.sleep(0.02)

    def epochs(self) -> list[str]:
        """The epochs of the mailbox, in the order in which browsers came to know them."""
        seen = (snapshot["position"] for browser in self.browsers for snapshot in browser.snapshots)
        return list(dict.fromkeys(position.partition("-")[0] for position in seen))

    def assert_no_position_twice(self) -> None:
        """One position, one content, whoever saw it; no mail twice within an epoch; every gap was announced."""
        contents: dict[str, dict[str, Any]] = {}
        for browser in self.browsers:
            for event in seen_by(browser):
                assert contents.setdefault(event["id"], event) == event
            told = [(e["id"].partition("-")[0], e["data"]["mail_id"]) for e in browser.events if "mail_id" in e["data"]]
            assert len(set(told)) == len(told)
            begun = {snapshot["position"] for snapshot in browser.snapshots if not snapshot["resumed"]}
            for before, after in zip(browser.events, browser.events[1:], strict=False):
                epoch, seq = after["id"].split("-")
                assert before["id"] == f"{epoch}-{int(seq) - 1}" or f"{epoch}-{int(seq) - 1}" in begun

    def assert_told_of_the_new_epoch(self) -> None:
        """Every browser was told once to throw away what it had, and no other reason was given.

        An edge that asks before the worker leads waits for its generation.
        """
        assert len(self.epochs()) == 2
        for browser in self.browsers:
            assert [each["reason"] for each in browser.snapshots[1:] if not each["resumed"]][:1] == ["epoch"]


def seen_by(browser: Follower) -> list[dict[str, Any]]:
    """All events that a browser was given, those that it had to make do with in a snapshot too."""
    recent = [event for snapshot in browser.snapshots for event in snapshot.get("recent", ())]
    return recent + browser.events


@asynccontextmanager
async def product(redis_url: str, provider: Simulator, *, lease_s: int = 30, **settings: str) -> AsyncIterator[Product]:
    """The programs, and browsers that are connected. A failover that outlasts the lease begins a generation.

    ``settings``: of the worker, besides.
    """
    port = free_port()
    environ = worker_environ(redis_url, provider, BRIDGE_WORKER_LEASE=str(lease_s), **settings)
    async with (
        program("worker", environ=environ) as worker,
        program("edge", environ=edge_environ(redis_url, port)) as edge,
    ):
        await worker.ready()
        await edge.ready()
        await provider.listeners.wait_hearing(1)
        async with following(f"http://127.0.0.1:{port}", (BOB,)) as browsers:
            yield Product(provider.world, worker, edge, browsers)


async def what_was_lost(redis_url: str) -> dict[str, Any]:
    """What the bridge says of it to everybody, as any other service finds it: the data of ``upstream.missed``."""

    def said() -> list[dict[str, Any]]:
        return [each["data"] for each in stored_events(redis_url) if each["type"] == "exmail.upstream.missed"]

    await until(lambda: bool(said()))
    return said()[-1]


def commits(server: DataServer) -> int:
    with server.client() as client:
        return int(client.get(KEYS.commits))


def clients(server: DataServer) -> int:
    """How many programs are connected: all but whoever asks, sentinels and replicas."""
    with server.client() as client:
        others = [each for each in client.client_list() if not each["name"].startswith("sentinel-")]
        return sum("S" not in each["flags"] for each in others) - 1


async def test_a_master_that_is_killed_while_mails_flow(tmp_path: Path, provider: Simulator) -> None:
    """Mails wait for the promotion; a commit whose answer was lost is never told under its position as another."""
    async with SentinelSet(tmp_path) as servers, product(servers.url, provider) as running:
        await running.arrived(running.deliver(5))
        flowing = asyncio.create_task(running.flow(), name="mails")
        await until(lambda: all(len(browser.mail_ids) > 20 for browser in running.browsers))
        old, new = servers.servers
        servers.watch_closely()
        old.kill()
        await servers.promoted(new)
        told = [len(browser.events) for browser in running.browsers]
        await until(lambda: all(len(b.events) > n + 20 for b, n in zip(running.browsers, told, strict=True)))
        flowing.cancel()
        await running.arrived(running.deliver(5))
        running.assert_no_position_twice()
        sent = [mail.mail_id for mail in running.world.mails_of(BOB)]
        if len(running.epochs()) == 1:
            assert all(browser.mail_ids == sent for browser in running.browsers)
        else:
            # What the replica did not get in time is nobody's fault; that it is not passed over in silence is ours.
            running.assert_told_of_the_new_epoch()
            assert (await what_was_lost(new.server.url))["why"] == "Redis went back"
        assert running.worker.process.returncode is running.edge.process.returncode is None


async def test_commits_that_no_replica_got_are_never_told_as_others(tmp_path: Path, provider: Simulator) -> None:
    """The master is cut off from its replica, confirms mails, stops, and is deposed: a new generation, for everybody.

    When it comes back it believes to be the master still. Nobody asks it anything any more.
    """
    async with SentinelSet(tmp_path) as servers, product(servers.url, provider) as running:
        await running.arrived(running.deliver(3))
        old, new = servers.servers
        await until(servers.replicated)
        old.stop_replication()
        lost = running.deliver(4)
        await running.arrived(lost)
        [first_lost] = [e for e in running.browsers[0].events if e["data"].get("mail_id") == lost[0]]
        servers.watch_closely()
        old.pause()
        await servers.promoted(new)
        await running.arrived(running.deliver(2))
        running.assert_no_position_twice()
        running.assert_told_of_the_new_epoch()
        told = await what_was_lost(new.server.url)
        assert told["why"] == "Redis went back"
        assert told["since"] <= first_lost["data"]["as_of"] < told["until"]
        [again] = await running.worker.heard("lease claimed again")
        assert again["new_generation"] is True

        # The sentinel sleeps, so nobody tells the old master that it is none; nor can the programs ask.
        servers.pause_sentinel(0)
        old.wake()
        await until(lambda: clients(old) == 0)
        before = commits(old)
        await running.arrived(running.deliver(3))
        assert (old.role, commits(old), clients(old)) == ("master", before, 0)
        servers.wake_sentinel(0)
        await until(old.demoted)
        await running.arrived(running.deliver(1))
        running.assert_no_position_twice()
        assert len(running.epochs()) == 2


async def test_nobody_can_be_asked_where_redis_is(tmp_path: Path, provider: Simulator) -> None:
    """Servers and sentinels are all gone, as after a power cut: programs say so, answer, and end in order."""
    async with SentinelSet(tmp_path) as servers, product(servers.url, provider) as running:
        await running.arrived(running.deliver(1))
        servers.power_cut()
        running.deliver(1)
        await _say_so_and_end(running, "no sentinel answers")


async def _say_so_and_end(running: Product, trouble: str) -> None:
    for each in (running.worker, running.edge):
        await until(lambda each=each: any(trouble in line.get("error", "") for line in each.lines))  # type: ignore[misc]
        await until(lambda each=each: _is_unready(each))  # type: ignore[misc]
        assert (await each.admin("/livez"))[0] == 200
        assert await each.stop() == 0


async def _is_unready(program: Program) -> bool:
    return (await program.admin("/readyz"))[0] == 503


async def test_no_node_of_a_cluster_is_left(tmp_path: Path, provider: Simulator) -> None:
    """As after a power cut of servers and sentinels."""
    async with ClusterSet(tmp_path) as cluster, product(cluster.url, provider) as running:
        await running.arrived(running.deliver(1))
        for server in cluster.servers:
            server.kill()
        running.deliver(1)
        await _say_so_and_end(running, "no node of the cluster answers")


@pytest.mark.parametrize("sharded", ["off", "instead"])
async def test_a_cluster_fails_over_and_moves_the_namespace(sharded: str, tmp_path: Path, provider: Simulator) -> None:
    """The node that holds the namespace dies; then its slot is moved. Pub/sub moves along, and nothing is lost.

    Where mails come by the node's own channels, so do they afterwards.
    """
    async with (
        ClusterSet(tmp_path) as cluster,
        product(cluster.url, provider, lease_s=30, BRIDGE_REDIS_SHARDED=sharded) as running,
    ):
        await running.arrived(running.deliver(3))
        owner, replica = cluster.owner, cluster.servers[3]
        with owner.client() as client:
            await until(lambda: client.wait(1, 0) == 1)
        cluster.watch_closely()
        owner.kill()
        await cluster.promoted(replica)
        await running.arrived(running.deliver(3))
        await running.edge.ready()

        target = next(server for server in cluster.servers[:3] if server is not owner)
        flowing = asyncio.create_task(running.flow(), name="mails")
        await asyncio.to_thread(cluster.migrate_slot, target)
        # A node that gives its slot away says so to those who hear its own channels, before they are looked after.
        signs = ("redis is elsewhere", "pub/sub connection lost")
        await until(lambda: any(running.edge.said(sign) for sign in signs[: 1 + (sharded == "instead")]))
        flowing.cancel()
        await running.arrived(running.deliver(3))
        running.assert_no_position_twice()
        sent = [mail.mail_id for mail in running.world.mails_of(BOB)]
        assert all(browser.mail_ids == sent for browser in running.browsers)
        assert all(snapshot["resumed"] for browser in running.browsers for snapshot in browser.snapshots[1:])
        with target.client() as client:
            assert client.exists(KEYS.lease)
            # Every node passes messages on, so they may have come by a subscription at another one until now.
            plain, by_node = KEYS.mailbox_channel(BOB), KEYS.mailbox_channel(BOB, sharded=True)
            if sharded == "off":
                await until(lambda: client.pubsub_numsub(plain)[0][1] == 1)
            else:
                await until(lambda: client.execute_command("PUBSUB", "SHARDNUMSUB", by_node)[1] == 1)
                assert client.pubsub_numsub(plain)[0][1] == 0
        # Commands find it by the same URL.
        for words in (("why", BOB), ("directory", "resync"), ("config", "check")):
            async with program(*words, environ=worker_environ(cluster.url, provider)) as command:
                assert await command.ended() == 0, command.lines


@pytest.mark.parametrize("restarted", [False, True], ids=["the-worker-remembers", "a-new-worker"])
async def test_a_dump_of_yesterday(
    restarted: bool, own_server: EmbeddedServer, tmp_path: Path, provider: Simulator
) -> None:
    """Somebody puts a backup back: a new generation, browsers are told, and what is gone with it is said."""
    folder, kept = tmp_path / "valkey" / "appendonlydir", tmp_path / "yesterday"
    # No restart outlives this lease: that would be a generation more.
    async with product(own_server.url, provider, lease_s=300) as running:
        await running.arrived(running.deliver(2))
        # The worker stands still, and what it sent is stored: a call that is lost here would be a generation more. Nor
        # is it given anything to send before it has seen the end: it is asked later, and answers.
        running.worker.signal(signal.SIGSTOP)
        with redis.Redis.from_url(own_server.url) as client:
            assert client.ping()
            assert client.ping()
        own_server.kill()
        shutil.copytree(folder, kept)
        own_server.restart()
        running.worker.signal(signal.SIGCONT)
        await running.worker.admin("/metrics")
        today = running.deliver(3)
        await running.arrived(today)
        [first_lost] = [e for e in running.browsers[0].events if e["data"].get("mail_id") == today[0]]
        if restarted:
            assert await running.worker.stop() == 0
        own_server.kill()
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        own_server.restart()
        async with AsyncExitStack() as stack:
            if restarted:
                environ = worker_environ(own_server.url, provider)
                worker = await stack.enter_async_context(program("worker", environ=environ))
                await until(lambda: bool(worker.said("listen session online")))
            else:
                await until(lambda: bool(running.worker.said("lease claimed again")))
            await running.arrived(running.deliver(2))
            told = await what_was_lost(own_server.url)
        assert told["since"] <= first_lost["data"]["as_of"] < told["until"]
        running.assert_no_position_twice()
        running.assert_told_of_the_new_epoch()
