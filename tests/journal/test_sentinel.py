"""The master that sentinels name: found, followed over failovers, and left when another one is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import find_server_binary
from bridge.journal.errors import JournalAway, JournalMoved, WrongCredentials
from bridge.journal.keys import Keys
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.route import ask_most
from bridge.journal.subscription import Subscription
from bridge.journal.writer import Writer
from tests.support.sentinel import DataServer, SentinelSet
from tests.support.stage import BOB, mail
from tests.support.waiting import PATIENCE_S, until

KEYS = Keys("exmail")


@pytest.fixture(autouse=True)
def patient_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server is, is asked for as long as the test waits, instead of a second."""
    monkeypatch.setattr("bridge.journal.connect._ASK_S", PATIENCE_S)
    monkeypatch.setitem(ask_most.__kwdefaults__, "within_s", PATIENCE_S)


@asynccontextmanager
async def leading(address: RedisAddress, keys: Keys = KEYS) -> AsyncIterator[tuple[Writer, Reader]]:
    """A writer that leads, and a reader, over one client."""
    redis = address.client(timeout_s=PATIENCE_S)
    writer = Writer(redis, keys, lease_s=300, retention=Retention())
    assert await writer.claim() is not None
    try:
        yield writer, Reader(redis, KEYS, history_events=100, history_s=3600)
    finally:
        await redis.aclose()


@pytest.mark.parametrize("program", ["valkey-server", "redis-server"])
async def test_a_killed_master_is_followed_by_its_replica(
    program: str, require_binary: Callable[[str], str], tmp_path: Path
):
    """A commit waits for the promotion and is applied once; what was replicated goes on in its generation."""
    async with (
        SentinelSet(tmp_path, binary=Path(require_binary(program))) as servers,
        leading(RedisAddress(servers.url)) as (writer, reader),
    ):
        [first] = await writer.commit([mail("1")])
        generation = writer.generation
        await until(servers.replicated)
        servers.watch_closely()
        servers.servers[0].kill()
        # A commit into a connection that is dead already may have been applied by somebody, and a generation
        # would begin: here it is sent to nobody before there is a master again.
        with suppress(JournalAway):
            await reader.written()
        [second] = await asyncio.wait_for(writer.commit([mail("2")]), PATIENCE_S)
        assert servers.servers[1].role == "master"
        assert (second.epoch, second.seq) == (first.epoch, 2)
        await writer.renew()
        assert writer.generation == generation
        [opened] = await reader.open([OpenRequest(BOB)])
        assert [b'"mail_id":"1"' in opened.events[0], b'"mail_id":"2"' in opened.events[1]] == [True, True]


async def test_commits_that_were_not_replicated_begin_a_new_generation(tmp_path: Path):
    """The new master knows less than the leader was told: no position of before is given again."""
    async with SentinelSet(tmp_path) as servers, leading(RedisAddress(servers.url)) as (writer, _):
        [kept] = await writer.commit([mail("kept")])
        await until(servers.replicated)
        servers.servers[0].stop_replication()
        [lost] = await writer.commit([mail("lost")])
        assert (lost.epoch, lost.seq) == (kept.epoch, 2)
        generation = writer.generation
        servers.watch_closely()
        servers.servers[0].kill()
        [after] = await asyncio.wait_for(writer.commit([mail("after")]), PATIENCE_S)
        assert writer.generation > generation
        assert after.epoch != lost.epoch
        assert after.seq == 1


async def test_a_failover_in_order_refuses_nobody_for_long(tmp_path: Path):
    """A connection to the demoted master is told READONLY or is cut; the next question goes to the new one at once."""
    address = RedisAddress((servers := SentinelSet(tmp_path)).url)
    async with servers, leading(address) as (writer, reader):
        await writer.commit([mail("1")])
        # An order does not wait for the replica: what that does not have yet would be lost.
        await until(servers.replicated)
        old = servers.servers[0]
        await servers.failed_over()
        await until(old.demoted)
        # Asked first: who writes into a connection in the moment it is cut cannot know what became of it. The demoted
        # one has nothing for a moment, while it takes over the other's data.
        async with asyncio.timeout(PATIENCE_S):
            while await reader.commits() != 1:
                continue
        [second] = await asyncio.wait_for(writer.commit([mail("2")]), PATIENCE_S)
        assert second.seq == 2
        assert await reader.commits() == 2


async def test_a_deposed_master_that_lives_on_is_left(tmp_path: Path):
    """Who only reads and listens there would never learn of it: writer, reader and subscription move together."""
    async with SentinelSet(tmp_path) as servers:
        address = RedisAddress(servers.url, look_s=0.1)
        async with leading(address) as (writer, reader):
            await writer.commit([mail("1")])
            await until(servers.replicated)
            subscription = Subscription(lambda messages: None)
            await subscription.connect(address)
            await subscription.subscribe([KEYS.mailbox_channel(BOB)])
            watching = asyncio.create_task(address.watch())
            old, new = servers.servers
            old.stop_replication()
            new.run("REPLICAOF", "NO", "ONE")
            servers.name(new, 0)
            await asyncio.wait_for(subscription.lost, PATIENCE_S)
            assert old.role == "master"
            [second] = await writer.commit([mail("2")])
            assert second.seq == 2
            with new.client() as client:
                assert int(client.get(KEYS.commits)) == 2 == await reader.commits()
            watching.cancel()
            again = Subscription(lambda messages: None)
            await again.connect(address)
            await again.subscribe([KEYS.mailbox_channel(BOB)])
            assert new.run("PUBLISH", KEYS.mailbox_channel(BOB), "x") == 1
            again.close()


async def test_the_latest_failover_outvotes_a_sentinel_that_missed_it(tmp_path: Path):
    """One sentinel that was cut off names a server of before; one that is dead keeps nobody waiting for it."""
    async with SentinelSet(tmp_path, sentinels=3) as servers:
        alone = DataServer(tmp_path / "alone", find_server_binary())
        await servers.failed_over()
        servers.name(alone, 0)
        servers.pause_sentinel(2)
        address = RedisAddress(servers.url)
        for _ in range(5):
            redis = address.client()
            assert (await redis.info("server"))["tcp_port"] == servers.servers[1].port
            await redis.aclose()
        servers.wake_sentinel(2)
        alone.close()


async def test_what_the_sentinels_refuse_is_said_plainly(tmp_path: Path):
    """No such name, a wrong password, nobody there: each is one sentence that says what to look at."""
    async with SentinelSet(tmp_path) as servers:
        wrong = RedisAddress(servers.url.replace("mymaster", "yours"))
        assert "knows no master called yours" in await refused(wrong, JournalAway)
        servers.ask(0, "ACL", "SETUSER", "default", "resetpass", ">hush")
        assert "lacks it" in await refused(RedisAddress(servers.url), WrongCredentials)
        assert "BRIDGE_REDIS_SENTINEL_PASSWORD" in await refused(
            RedisAddress(servers.url, sentinel_password=lambda: "other"), WrongCredentials
        )
        redis = RedisAddress(servers.url, sentinel_password=lambda: "hush").client(timeout_s=PATIENCE_S)
        assert await redis.ping()
        await redis.aclose()
    assert "no sentinel answers" in await refused(RedisAddress(servers.url), JournalAway)


async def test_a_password_of_the_sentinels_that_changes(tmp_path: Path):
    """They know both for a while, the file has the new one, the old one goes: whoever dials is told the master."""
    said = ["old"]
    async with SentinelSet(tmp_path) as servers:
        servers.ask(0, "ACL", "SETUSER", "default", "resetpass", ">old", ">new")
        redis = RedisAddress(servers.url, sentinel_password=lambda: said[0]).client(connections=1)
        assert await redis.ping()
        said[0] = "new"
        await redis.connection_pool.disconnect()
        assert await redis.ping()
        with redis_sync.Redis(port=servers.ports[0], password="new") as admin:
            admin.execute_command("ACL", "SETUSER", "default", "<old")
        await redis.connection_pool.disconnect()
        assert await redis.ping()
        await redis.aclose()


async def refused(address: RedisAddress, kind: type[Exception]) -> str:
    """What a reader is told; the same through redis-py's pool and through the connection that we read ourselves."""
    redis = address.client()
    reader = Reader(redis, KEYS, history_events=1, history_s=1)
    with pytest.raises(kind) as plain:
        await reader.commits()
    with pytest.raises(kind) as raw:
        await Subscription(lambda messages: None).connect(address)
    await redis.aclose()
    assert str(plain.value) == str(raw.value)
    return str(plain.value)


async def test_a_replica_at_a_plain_address_says_that_it_is_one(tmp_path: Path):
    """``redis://`` of a replica: nothing is written, the reason is named; once promoted it will do."""
    async with SentinelSet(tmp_path) as servers:
        replica = servers.servers[1]
        redis = RedisAddress(replica.server.tcp_url).client(timeout_s=PATIENCE_S)
        reader = Reader(redis, KEYS, history_events=1, history_s=1)
        with pytest.raises(JournalMoved, match="is a replica and takes no writes; its master is needed"):
            await reader.check()
        await servers.failed_over()
        assert await reader.check() is None
        await redis.aclose()
