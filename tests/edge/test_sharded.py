"""Edges hear mails by the channels that the leader publishes them on, whichever those are."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.journal.connect import RedisAddress
from bridge.journal.sharded import Sharded
from tests.support.bare_edge import STILL, bare_edge, heard
from tests.support.browser_side import open_ws
from tests.support.guarded import Guarded
from tests.support.releases import Earlier
from tests.support.stage import (
    BOB,
    KEYS,
    NO_SWEEP,
    QUICK,
    StageWriter,
    bearer,
    leading_writer,
    let_in,
    mail,
    running_edge,
)
from tests.support.waiting import PATIENCE_S, until

from .conftest import ids

PLAIN, SHARDED = KEYS.mailbox_channel(BOB), KEYS.mailbox_channel(BOB, sharded=True)


async def test_an_edge_follows_a_leader_that_publishes_in_another_way(redis_url: str, transport: str) -> None:
    """One after the other leads, as in an upgrade and on the way back: whoever has a connection open sees every mail
    once and in order, and no comparison of positions is needed for it."""
    ways: list[Sharded] = ["off", "instead", "beside", "off"]
    async with (
        running_edge(redis_url, NO_SWEEP) as (url, _),
        RedisAddress(redis_url).client(timeout_s=PATIENCE_S) as redis,
    ):

        async def heard_by() -> tuple[int, int]:
            """How many listen to the plain channel, and to the sharded one."""
            [(_, plain)] = await redis.pubsub_numsub(PLAIN)
            [_, of_node] = await redis.execute_command("PUBSUB", "SHARDNUMSUB", SHARDED)
            return plain, of_node

        client = None
        for number, sharded in enumerate(ways):
            writer = StageWriter(redis, sharded)
            assert await writer.claim() is not None
            client = client or await let_in(url, transport)
            # At once, when the edge cannot know of it yet: this one is found when it dials again.
            await writer.commit([mail(f"A{number}")])
            expected = (1, 0) if sharded == "off" else (0, 1)

            async def listens(expected: tuple[int, int] = expected) -> bool:
                return await heard_by() == expected

            await until(listens)
            await writer.commit([mail(f"B{number}")])
            assert ids(await client.events(2)) == [f"A{number}", f"B{number}"]
            await writer.release()
        assert client is not None
        client.drop()


async def test_an_announcement_of_a_new_leader_is_enough(redis_url: str) -> None:
    """Whoever leads says so on a channel that every edge hears; the note is then read at once, and not some seconds
    later."""
    async with leading_writer(redis_url, "instead") as (writer, redis):
        await redis.hdel(KEYS.upstream, "sharded")
        async with bare_edge(redis_url, STILL) as edge:
            _, peer = await edge.join(await edge.open())
            await redis.hset(KEYS.upstream, "sharded", f"instead:{writer.fence}")
            await redis.publish(KEYS.kind_channel("system"), '{"type":"exmail.leader.changed"}')
            await until(lambda: edge.count("feed_reconnects_total") == 1)
            await writer.commit([mail("Z1")])
            await heard(peer, b"Z1")


@pytest.mark.parametrize("release", ["first", "previous"])
async def test_a_worker_of_an_earlier_release_is_heard(redis_url: str, release: str) -> None:
    """On the way back it leads while edges are still those of this release, and leaves no note: what it publishes,
    plainly, is heard at once, though the note of its predecessor stands there still."""
    async with (
        RedisAddress(redis_url).client(timeout_s=PATIENCE_S) as redis,
        running_edge(redis_url, NO_SWEEP) as (
            url,
            _,
        ),
    ):
        writer = StageWriter(redis, "instead")
        assert await writer.claim() is not None
        client = await let_in(url)
        await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]
        await writer.release()
        with redis_sync.Redis.from_url(redis_url, protocol=2) as then:
            earlier = Earlier(release, then, then)
            lease, commits, _ = earlier.claim()
            assert await redis.hget(KEYS.upstream, "sharded") is not None

            async def listens() -> bool:
                return (await redis.pubsub_numsub(PLAIN))[0][1] == 1

            await until(listens)
            assert earlier.record(mail("Z2"), lease=lease, call=commits + 1)[0] == 1
        assert ids(await client.events(1)) == ["Z2"]
        client.drop()


@pytest.mark.parametrize("odd", ["of another type", "unreadable"])
async def test_an_odd_note_fails_nobody(redis_url: str, odd: str) -> None:
    """Additional information: plain channels are heard where it cannot be read."""
    async with leading_writer(redis_url, "beside") as (writer, redis), running_edge(redis_url, QUICK) as (url, _):
        if odd == "unreadable":
            await redis.hset(KEYS.upstream, "sharded", b"\xff:\xff")
        else:
            await redis.delete(KEYS.upstream)
            await redis.set(KEYS.upstream, "x")
        async with await open_ws(url, **bearer()) as client:
            await client.frame()

            async def listens() -> bool:
                return (await redis.pubsub_numsub(PLAIN))[0][1] == 1

            await until(listens)
            await redis.delete(KEYS.upstream)
            await writer.commit([mail("Z1")])
            assert ids(await client.events(1)) == ["Z1"]


async def test_a_mailbox_that_nobody_looks_at_is_not_listened_to(redis_url: str) -> None:
    """As with plain channels, and the connection goes on: the end that was asked for is none that Redis made."""
    pace = replace(QUICK, idle_s=0.1, tops_s=3600)
    async with leading_writer(redis_url, "instead") as (writer, redis), running_edge(redis_url, pace) as (url, metrics):

        async def listeners() -> int:
            found: int = (await redis.execute_command("PUBSUB", "SHARDNUMSUB", SHARDED))[1]
            return found

        for number in range(3):
            async with await open_ws(url, **bearer()) as client:
                await client.frame()
                assert await listeners() == 1
                await writer.commit([mail(f"Z{number}")])
                assert ids(await client.events(1)) == [f"Z{number}"]

            async def gone() -> bool:
                return await listeners() == 0

            await until(gone)
        assert metrics.registry.get_sample_value("exmail_bridge_feed_reconnects_total") == 0


async def test_an_access_list_of_an_earlier_release_makes_mails_late_at_most(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The edge's user may not listen to sharded channels: it says which file has the line, hears the plain ones, and
    finds by comparing what is not published there."""
    with Guarded(tmp_path) as guarded:
        lines = guarded.file.read_text()
        guarded.file.write_text(lines.replace("+ssubscribe +sunsubscribe", "+sunsubscribe"))
        with guarded.client("admin") as admin:
            admin.acl_load()
        url = guarded.server.url
        async with RedisAddress(url, "worker", lambda: "password of worker").client() as redis:
            writer = StageWriter(redis, "beside")
            assert await writer.claim() is not None
            with caplog.at_level(logging.ERROR):
                async with running_edge(url, QUICK, **guarded.settings("edge")) as (edge, _), await let_in(edge) as bob:
                    await writer.commit([mail("Z1")])
                    assert ids(await bob.events(1)) == ["Z1"]
                    await writer.release()
                    later = StageWriter(redis, "instead")
                    assert await later.claim() is not None
                    await later.commit([mail("Z2")])
                    assert ids(await bob.events(1)) == ["Z2"]
            [first, *_] = [each for each in caplog.records if "sharded channels are refused" in each.message]
            assert "users.acl" in first.message


async def test_an_access_list_that_was_mended_is_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The edge finds out by itself, and nobody has to lead anew; until then it has said it once."""
    with Guarded(tmp_path) as guarded, guarded.client("admin") as admin:
        lines = guarded.file.read_text()
        guarded.file.write_text(lines.replace("+ssubscribe +sunsubscribe", "+sunsubscribe"))
        admin.acl_load()
        url = guarded.server.url
        async with RedisAddress(url, "worker", lambda: "password of worker").client() as redis:
            writer = StageWriter(redis, "instead")
            assert await writer.claim() is not None
            with caplog.at_level(logging.ERROR):
                async with (
                    running_edge(url, NO_SWEEP, **guarded.settings("edge")) as (edge, _),
                    await let_in(edge) as bob,
                ):
                    await until(lambda: sum(int(each["count"]) for each in admin.acl_log()) >= 3)
                    guarded.file.write_text(lines)
                    admin.acl_load()
                    await writer.commit([mail("Z1")])
                    assert ids(await bob.events(1)) == ["Z1"]
            said = [each for each in caplog.records if "sharded channels are refused" in each.message]
            assert len(said) == 1
