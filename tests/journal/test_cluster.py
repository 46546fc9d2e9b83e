"""The node of a cluster that holds the namespace: found, followed over failovers and when the slot moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import JournalAway, JournalMoved, JournalRefused
from bridge.journal.keys import Keys
from bridge.journal.reader import OpenRequest
from bridge.journal.sharded import Sharded
from bridge.journal.subscription import Subscription
from tests.journal.conftest import announcement
from tests.journal.test_sentinel import KEYS, leading, patient_questions, refused
from tests.support.cluster import ClusterSet
from tests.support.processes import free_port
from tests.support.stage import BOB, mail
from tests.support.waiting import PATIENCE_S, until

__all__ = ["patient_questions"]


def address_of(cluster: ClusterSet) -> RedisAddress:
    return RedisAddress(cluster.url, namespace=KEYS.namespace, look_s=0.1)


@pytest.mark.parametrize(
    ("program", "sharded"), [("valkey-server", "off"), ("redis-server", "instead"), ("valkey-server", "instead")]
)
async def test_a_killed_node_is_followed_by_its_replica(
    program: str, sharded: Sharded, require_binary: Callable[[str], str], tmp_path: Path
):
    """The node that holds the namespace dies: a commit waits, is applied once, and is heard where the others are."""
    heard: list[bytes] = []
    async with ClusterSet(tmp_path, binary=Path(require_binary(program))) as cluster:
        address = address_of(cluster)
        async with leading(address, Keys("exmail", sharded)) as (writer, reader):
            [first] = await writer.commit([mail("1")])
            generation = writer.generation
            with cluster.owner.client() as client:
                assert int(client.get(KEYS.commits)) == 1
                await until(lambda: client.wait(1, 0) == 1)
            cluster.watch_closely()
            cluster.owner.kill()
            # A commit into a connection that is dead already may have been applied by somebody, and a generation
            # would begin: here it is sent to nobody before there is a master again.
            with suppress(JournalAway):
                await reader.written()
            [second] = await asyncio.wait_for(writer.commit([mail("2")]), PATIENCE_S)
            assert (second.epoch, second.seq) == (first.epoch, 2)
            await writer.renew()
            assert writer.generation == generation
            subscription = Subscription(lambda messages: heard.extend(payload for _, payload in messages))
            await subscription.connect(address)
            by_shard = (await reader.published()).sharded == "instead"
            assert by_shard is (sharded == "instead")
            await subscription.subscribe([KEYS.mailbox_channel(BOB, sharded=by_shard)], sharded=by_shard)
            await writer.commit([mail("3")])
            await until(lambda: len(heard) == 1)
            assert b'"mail_id":"3"' in heard[0]
            assert await reader.commits() == 3
            subscription.close()


async def test_a_slot_that_moves_takes_everybody_along(tmp_path: Path):
    """Commits go on while the slot is moved: all are applied once and in order, and nothing is given a place twice."""
    async with ClusterSet(tmp_path, replicas=0) as cluster:
        address = address_of(cluster)
        async with leading(address) as (writer, reader):
            subscription = Subscription(lambda messages: None)
            await subscription.connect(address)
            watching = asyncio.create_task(address.watch())
            first, target = cluster.owner, cluster.servers[2]
            assert first is not target
            outcomes = []
            moved = asyncio.Event()

            async def commit() -> None:
                while not moved.is_set():
                    outcomes.extend(await writer.commit([mail(f"{len(outcomes)}")]))

            committing = asyncio.create_task(commit())
            await until(lambda: len(outcomes) > 20)
            await asyncio.to_thread(cluster.migrate_slot, target)
            before = len(outcomes)
            await until(lambda: len(outcomes) > before + 20)
            moved.set()
            await committing
            assert [outcome.seq for outcome in outcomes] == list(range(1, len(outcomes) + 1))
            assert len({outcome.epoch for outcome in outcomes}) == 1
            with target.client() as client:
                assert int(client.get(KEYS.commits)) == len(outcomes) == await reader.commits()
            await asyncio.wait_for(subscription.lost, PATIENCE_S)
            watching.cancel()


async def test_a_reader_asks_the_new_node_at_once(tmp_path: Path):
    """A browser that opens a mailbox in that moment need not come again: MOVED is answered by asking there."""
    async with ClusterSet(tmp_path, replicas=0) as cluster, leading(address_of(cluster)) as (writer, reader):
        await writer.commit([mail("1")])
        await reader.open([OpenRequest(BOB)])
        cluster.migrate_slot(cluster.servers[1])
        [opened] = await reader.open([OpenRequest(BOB)])
        assert opened.top.seq == 1


async def test_a_slot_that_is_on_its_way_is_waited_for(tmp_path: Path):
    """While keys are here and there no call is applied in part: readers are told to come later, a commit waits."""
    async with ClusterSet(tmp_path, replicas=0) as cluster, leading(address_of(cluster)) as (writer, reader):
        await writer.commit([mail("1")])
        cluster.begin_migration(cluster.owner, cluster.servers[1])
        with pytest.raises(JournalAway):
            await reader.open([OpenRequest("new@gzdev.com")])
        committing = asyncio.create_task(writer.commit([mail("2", mailbox="new@gzdev.com")]))
        cluster.migrate_slot(cluster.servers[1])
        [outcome] = await asyncio.wait_for(committing, PATIENCE_S)
        assert outcome.seq == 1
        with cluster.servers[1].client() as client:
            assert int(client.get(KEYS.commits)) == 2


async def test_a_batch_that_was_applied_in_part_goes_on_where_it_was_left(tmp_path: Path):
    """The first run finds all its keys, the next does not: nothing is applied twice, and no generation begins."""
    async with ClusterSet(tmp_path, replicas=0) as cluster, leading(address_of(cluster)) as (writer, reader):
        [first] = await writer.commit([mail("1")])
        generation = writer.generation
        source, target = cluster.owner, cluster.servers[1]
        with source.client() as client:
            # A call waits for the end of the move unless all keys that it names are still here.
            client.sadd(KEYS.wanted, "ann@gzdev.com")
        cluster.begin_migration(source, target)
        batch = [mail("2"), announcement(), mail("3", mailbox="new@gzdev.com"), mail("4")]
        committing = asyncio.create_task(writer.commit(batch))
        with source.client() as client:
            await until(lambda: int(client.get(KEYS.commits)) == 2)
        cluster.migrate_slot(target)
        again, _, _, last = await asyncio.wait_for(committing, PATIENCE_S)
        assert (again.result, last.epoch, last.seq) == ("again", first.epoch, 3)
        await writer.renew()
        assert writer.generation == generation
        assert await reader.commits() == 5


@pytest.mark.parametrize("program", ["valkey-server", "redis-server"])
async def test_what_a_mail_is_by_the_channels_of_its_node(
    program: str, require_binary: Callable[[str], str], tmp_path: Path
):
    """The other nodes get nothing of a mailbox's channel and all of its kind's; they refuse who would listen there for
    a shard that is not theirs. When the slot moves, whoever listened is told at once, though his connection stands."""
    binary = Path(require_binary(program))
    mailbox, kind = KEYS.mailbox_channel(BOB, sharded=True), KEYS.kind_channel("mail.new")
    async with ClusterSet(tmp_path, replicas=0, binary=binary) as cluster:
        address = address_of(cluster)
        async with leading(address, Keys("exmail", "instead")) as (writer, _):
            heard: list[tuple[bytes, bytes]] = []
            subscription, other = Subscription(heard.extend), Subscription(heard.extend)
            await subscription.connect(address)
            await subscription.subscribe([mailbox, KEYS.mailbox_channel("ann@gzdev.com", sharded=True)], sharded=True)
            stranger = next(server for server in cluster.servers if server is not cluster.owner)
            await other.connect(RedisAddress(f"redis://127.0.0.1:{stranger.port}"))
            await other.subscribe([kind, KEYS.mailbox_channel(BOB)])
            await writer.commit([mail("1")])
            await until(lambda: len(heard) == 2)
            assert sorted(channel.decode() for channel, _ in heard) == sorted([mailbox, kind])
            with pytest.raises(JournalMoved):
                await other.subscribe([mailbox], sharded=True)
            # All keys are there, so the node that gives the slot away goes on in between.
            with cluster.owner.client() as client:
                client.sadd(KEYS.wanted, "ann@gzdev.com")
            cluster.begin_migration(cluster.owner, stranger)
            await asyncio.wait_for(writer.commit([mail("2")]), PATIENCE_S)
            await until(lambda: any(b'"mail_id":"2"' in event for _, event in heard))
            assert not subscription.lost.done()
            cluster.migrate_slot(stranger)
            assert "ended a subscription" in await asyncio.wait_for(subscription.lost, PATIENCE_S)
            again = Subscription(heard.extend)
            await again.connect(address)
            await again.subscribe([mailbox], sharded=True)
            await writer.commit([mail("3")])
            await until(lambda: any(b'"mail_id":"3"' in event for _, event in heard))
            again.close()


async def test_a_deposed_node_ends_what_was_heard_there(tmp_path: Path):
    """It was stopped, its replica took its place, and it wakes: nobody goes on listening at a node that hears nothing
    any more, however soon it is asked where the node is."""
    async with ClusterSet(tmp_path) as cluster:
        address = RedisAddress(cluster.url, namespace=KEYS.namespace, look_s=3600)
        async with leading(address, Keys("exmail", "instead")) as (writer, _):
            await writer.commit([mail("1")])
            old, new = cluster.owner, cluster.servers[3]
            with old.client() as client:
                await until(lambda: client.wait(1, 0) == 1)
            subscription = Subscription(lambda messages: None)
            await subscription.connect(address)
            await subscription.subscribe([KEYS.mailbox_channel(BOB, sharded=True)], sharded=True)
            cluster.watch_closely()
            old.pause()
            await cluster.promoted(new)
            assert not subscription.lost.done()
            old.wake()
            assert "ended a subscription" in await asyncio.wait_for(subscription.lost, PATIENCE_S)


async def test_a_server_that_is_no_cluster_says_so(tmp_path: Path):
    """Waiting does not mend a wrong URL; a cluster that is away is waited for."""
    with EmbeddedServer(tmp_path, port=(port := free_port())):
        address = RedisAddress(f"redis+cluster://127.0.0.1:{port}", namespace="exmail")
        assert "cluster support disabled" in await refused(address, JournalRefused)
    assert "no node of the cluster answers" in await refused(address, JournalAway)
