"""Mails by the channels of one node of a cluster: what is published where, how edges learn of it, and what may fail.

A single server knows the same commands; what is a cluster's own is in ``test_cluster.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.events import CANARY
from bridge.journal.canary import Canary
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalRefused
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader
from bridge.journal.sharded import PLAIN, Published, Sharded, read_published
from bridge.journal.subscription import Subscription
from tests.support.guarded import Guarded
from tests.support.stage import BOB, KEYS, StageWriter, leading_writer, mail
from tests.support.waiting import PATIENCE_S, until

PLAIN_ONE = KEYS.mailbox_channel(BOB)
SHARDED_ONE = KEYS.mailbox_channel(BOB, sharded=True)
WHERE: dict[Sharded, list[str]] = {
    "off": [PLAIN_ONE],
    "beside": [PLAIN_ONE, SHARDED_ONE],
    "instead": [SHARDED_ONE],
}


@asynccontextmanager
async def listening(address: RedisAddress, *sharded: str, plain: tuple[str, ...] = ()) -> AsyncIterator[Any]:
    """What comes by these channels, in order, and the subscription itself."""
    heard: list[tuple[bytes, bytes]] = []
    subscription = Subscription(heard.extend)
    await subscription.connect(address)
    await subscription.subscribe(plain)
    await subscription.subscribe(sharded, sharded=True)
    yield heard, subscription
    subscription.close()


@pytest.mark.parametrize("sharded", WHERE)
async def test_a_mail_comes_by_the_channels_that_were_chosen(redis_url: str, sharded: Sharded) -> None:
    """By each once, with the very bytes that are stored; services that follow all mails hear of it in any case."""
    kind = KEYS.kind_channel("mail.new")
    async with (
        leading_writer(redis_url, sharded) as (writer, redis),
        listening(RedisAddress(redis_url), SHARDED_ONE, plain=(PLAIN_ONE, kind)) as (heard, _),
    ):
        await writer.commit([mail("Z1"), mail("Z2")])
        [(_, first), (_, second)] = await redis.xrange(KEYS.log(BOB))
        await until(lambda: len(heard) >= 2 * len(WHERE[sharded]) + 2)
        for event in (first[b"event"], second[b"event"]):
            by = sorted(channel.decode() for channel, payload in heard if payload == event)
            assert by == sorted([*WHERE[sharded], kind])
        assert len(heard) == 2 * len(WHERE[sharded]) + 2


@pytest.mark.parametrize("sharded", WHERE)
async def test_the_canary_goes_the_way_of_a_mail(redis_url: str, sharded: Sharded) -> None:
    """By the same channels; those who hear it are counted, by whichever they do."""
    names = [KEYS.mailbox_channel(CANARY, sharded=True)], (KEYS.mailbox_channel(CANARY),)
    async with (
        leading_writer(redis_url, sharded) as (writer, _),
        listening(RedisAddress(redis_url), *names[0]) as (by_shard, _),
        listening(RedisAddress(redis_url), plain=names[1]) as (by_plain, _),
    ):
        assert await Canary(writer, writer.names).sing("mark", at_s=0) == len(WHERE[sharded])
        await until(lambda: len(by_shard) + len(by_plain) == len(WHERE[sharded]))
        assert bool(by_plain) is (sharded != "instead")


async def test_what_concerns_no_mailbox_stays_where_it_was(redis_url: str) -> None:
    """Kicks, the directory, the state of the bridge: edges of an earlier release know no other channels."""
    keys = Keys("exmail", "instead")
    assert {keys.kind_channel("system"), keys.kind_channel("directory"), keys.control_channel} == {
        "exmail:system",
        "exmail:directory",
        "exmail:control",
    }


async def test_edges_are_told_how_the_leader_publishes(redis_url: str) -> None:
    """By whoever leads, also while nobody does; who says nothing, as in an earlier release, publishes plainly."""
    async with RedisAddress(redis_url).client(timeout_s=PATIENCE_S) as redis:
        reader = Reader(redis, KEYS, history_events=1, history_s=1)
        assert await reader.published() == PLAIN
        for sharded in WHERE:
            writer = StageWriter(redis, sharded)
            assert await writer.claim() is not None
            told = await reader.published()
            assert told == (PLAIN if sharded == "off" else Published(sharded, writer.fence))
            await writer.release()
            assert await reader.published() == told
        # An earlier release claims: a higher fence, and no word of this.
        await redis.set(KEYS.lease, f"{writer.fence + 1}:of-then")
        assert await reader.published() == PLAIN


@pytest.mark.parametrize(
    ("lease", "noted", "expected"),
    [
        (b"7:x", b"beside:7", Published("beside", 7)),
        (None, b"instead:7", Published("instead", 7)),
        # A claim between the two reads.
        (b"6:x", b"instead:7", Published("instead", 7)),
        (b"8:x", b"instead:7", PLAIN),
        (b"7:x", None, PLAIN),
        (b"7:x", b"", PLAIN),
        (b"7:x", b"instead", PLAIN),
        (b"7:x", b"instead:", PLAIN),
        (b"7:x", b"upside-down:7", PLAIN),
        (b"x", b"instead:7", PLAIN),
        (b"7:x", b"\xff:\xff", PLAIN),
    ],
)
def test_a_note_that_says_nothing_is_none(lease: bytes | None, noted: bytes | None, expected: Published) -> None:
    """Whatever stands there, nobody listens where nothing comes."""
    assert read_published(lease, noted) == expected


async def test_a_right_that_is_missing_costs_no_half_of_a_step(tmp_path: Path) -> None:
    """The worker's user may not SPUBLISH any more: mails are stored and counted, once each, and in order."""
    with Guarded(tmp_path) as guarded:
        lines = guarded.file.read_text()
        assert " +spublish" in lines
        guarded.file.write_text(lines.replace(" +spublish", ""))
        with guarded.client("admin") as admin:
            admin.acl_load()
        async with RedisAddress(guarded.server.url, "worker", lambda: "password of worker").client() as redis:
            writer = StageWriter(redis, "instead")
            assert await writer.claim() is not None
            told = await writer.commit([mail("Z1"), mail("Z2"), mail("Z1")])
            assert [(outcome.result, outcome.seq) for outcome in told[:2]] == [("published", 1), ("published", 2)]
            assert told[2].result == "duplicate"
            # Before it leads it finds out that it lacks the right, and which line has it.
            with pytest.raises(JournalRefused, match=r"\+spublish &\{exmail\}:mailbox:\*.*users\.acl"):
                await Mirror(redis, writer.names).check()
            await Mirror(redis, KEYS).check()


async def test_the_worker_needs_no_more_than_its_line(tmp_path: Path) -> None:
    """Mails, canary and check as the users of the shipped file; and who may listen is an edge."""
    with Guarded(tmp_path) as guarded:
        url = guarded.server.url
        edge = RedisAddress(url, "edge", lambda: "password of edge")
        async with (
            RedisAddress(url, "worker", lambda: "password of worker").client() as redis,
            listening(edge, SHARDED_ONE, KEYS.mailbox_channel(CANARY, sharded=True)) as (heard, _),
        ):
            writer = StageWriter(redis, "instead")
            await Mirror(redis, writer.names).check()
            assert await writer.claim() is not None
            await writer.commit([mail("Z1")])
            assert await Canary(writer, writer.names).sing("mark", at_s=0) == 1
            await until(lambda: len(heard) == 2)
        assert guarded.refusals() == []


async def test_a_subscription_that_redis_ends_is_a_lost_connection(redis: Redis, redis_url: str) -> None:
    """Nobody asked for it: something is not heard any more, though the connection stands."""
    async with listening(RedisAddress(redis_url), SHARDED_ONE, KEYS.mailbox_channel("ann@gzdev.com", sharded=True)) as (
        _,
        subscription,
    ):
        subscription.unsubscribe([SHARDED_ONE], sharded=True)
        subscription.unsubscribe([SHARDED_ONE], sharded=True)
        await subscription.subscribe([SHARDED_ONE], sharded=True)
        assert not subscription.lost.done()
        subscription.took([[b"sunsubscribe", SHARDED_ONE.encode(), 1]])
        assert "ended a subscription" in await subscription.lost
        assert not subscription.open
