"""Whoever asks for much at once gets it piece by piece, and costs no more than anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.events import Position
from tests.support.bare_edge import bare_edge, heard
from tests.support.browser_side import open_ws
from tests.support.stage import ANN, BOB, KEYS, bearer, leading_writer, lost_messages, mail, running_edge
from tests.support.waiting import until

from .conftest import QUICK, connect, ids

SUBJECT = "x" * 10_000
MOST_KEPT = 200_000
"""Of one connection: a piece that was read, and what the socket has not taken of it."""


async def calls(redis: Any, command: str) -> int:
    found: int = (await redis.info("commandstats")).get(f"cmdstat_{command}", {}).get("calls", 0)
    return found


async def test_a_large_history_is_resumed_whole_and_in_order(stage: Any, transport: str) -> None:
    """Megabytes of it, with mails that come meanwhile behind it."""
    url, writer, _ = stage
    [first, *_] = await writer.commit([mail(f"L{number}", subject=SUBJECT) for number in range(150)])
    async with await connect(url, transport, f"?after={first.epoch}-0") as client:
        await writer.commit([mail(f"M{number}", subject=SUBJECT) for number in range(20)])
        snapshot = await client.frame()
        assert snapshot.data["data"]["resumed"]
        expected = [*(f"L{number}" for number in range(150)), *(f"M{number}" for number in range(20))]
        assert ids(await client.events(170)) == expected


async def test_a_large_loss_is_repaired_whole_and_in_order(stage: Any, transport: str) -> None:
    """The tail asks until it has all."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([mail(f"L{number}", subject=SUBJECT) for number in range(60)])
        await writer.commit([mail("Z1")])
        assert ids(await client.events(61)) == [*(f"L{number}" for number in range(60)), "Z1"]


@pytest.mark.parametrize("kind", [WebSocketConnection, SseConnection])
async def test_a_reader_that_does_not_read_is_kept_little_for(redis_url: str, kind: Any) -> None:
    """What was read for it stays below a bound, however much it missed."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        [first, *_] = await writer.commit([mail(f"L{number}", subject=SUBJECT) for number in range(190)])
        after = Position(first.epoch, 0)
        for _ in range(20):
            cursor, _ = await edge.join(await edge.open(after=after), kind, after=after)
            await until(lambda one=cursor: one.connection.behind_since > 0 or one._reading)  # type: ignore[misc]
        for each in edge.hub.everybody():
            assert each.transport is not None
            [cursor] = each.cursors
            waiting = sum(len(frame.payload) for frame in cursor._queue or ())
            assert each.transport.get_write_buffer_size() + waiting <= MOST_KEPT


async def test_equal_questions_are_one(redis_url: str) -> None:
    """Two hundred tabs of one person come back at once: Redis is asked for the history a few times, not two hundred."""
    async with leading_writer(redis_url) as (writer, redis), bare_edge(redis_url) as edge:
        [first, *_] = await writer.commit([mail(f"L{number}", subject=SUBJECT) for number in range(5)])
        await edge.open()
        before = await calls(redis, "xrange")
        after = Position(first.epoch, 0)
        openings = await asyncio.gather(*(edge.open(after=after, session=f"s-{n}") for n in range(200)))
        assert await calls(redis, "xrange") - before <= 5
        assert len({id(opening.opened) for opening in openings}) <= 3
        _, one = await edge.join(openings[0], after=after)
        _, other = await edge.join(openings[1], after=after)
        assert await heard(one, b"L4") == await heard(other, b"L4")


async def test_what_many_ask_is_answered_to_each(redis_url: str) -> None:
    """More different questions than a batch takes, and those who left meanwhile."""
    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        tasks = [asyncio.create_task(edge.open(f"u{number}@gzdev.com")) for number in range(300)]
        await asyncio.sleep(0)
        for task in tasks[::7]:
            task.cancel()
        await asyncio.wait(tasks)
        for number, task in enumerate(tasks):
            if not task.cancelled():
                assert task.result().opened.mailbox == f"u{number}@gzdev.com"


async def test_the_badge_reads_no_mails(redis_url: str) -> None:
    """``GET /unread`` asks for a number."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, QUICK) as (url, _),
        aiohttp.ClientSession(headers=bearer()) as session,
    ):
        await writer.commit([mail("Z1", 3)])
        before = await calls(redis, "xrevrange")
        async with session.get(f"{url}/unread") as answer:
            assert (await answer.json())["unread"] == 3
        assert await calls(redis, "xrevrange") == before


SPOILT = {
    "state": lambda redis: redis.set(KEYS.state(BOB), "x"),
    "log": lambda redis: redis.sadd(KEYS.log(BOB), "x"),
    "slaves": lambda redis: redis.hset(KEYS.slaves, mapping={BOB: "b2@gzdev.com", "b2@gzdev.com": BOB}),
}


@pytest.mark.parametrize("what", SPOILT)
async def test_an_odd_value_closes_one_mailbox_and_no_edge(stage: Any, transport: str, what: str) -> None:
    """Its browsers are told to come later; others are let in, and get their mails."""
    url, writer, redis = stage
    async with await connect(url, transport, mailbox=ANN) as ann:
        await ann.frame()
        await redis.hset(KEYS.state(BOB), mapping={"generation": writer.generation, "epoch": "abcdefgh", "seq": 1})
        if what == "state":
            await redis.delete(KEYS.state(BOB))
        await SPOILT[what](redis)
        for _ in range(2):
            async with await connect(url, transport) as bob:
                assert await bob.end() == 3013
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert ids(await ann.events(1)) == ["Z1"]


async def test_an_odd_value_under_an_open_connection_ends_that_alone(stage: Any) -> None:
    """It is told to come later; the next comparison finds it."""
    url, writer, redis = stage
    async with await open_ws(url, **bearer()) as bob, await open_ws(url, **bearer(ANN)) as ann:
        await bob.frame()
        await ann.frame()
        await redis.delete(KEYS.state(BOB))
        await redis.set(KEYS.state(BOB), "x")
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert await bob.end() == 3013
        assert ids(await ann.events(1)) == ["Z1"]


@pytest.mark.parametrize("key", [KEYS.slaves, KEYS.barred])
async def test_what_concerns_everybody_ends_nobody_who_is_there(
    stage: Any, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody new can be judged, and is told to come later; the key is named once, however many come."""
    url, writer, redis = stage
    async with await open_ws(url, **bearer(ANN)) as ann:
        await ann.frame()
        await redis.delete(key)
        await redis.set(key, "odd")
        for _ in range(5):
            async with await open_ws(url, **bearer()) as bob:
                assert await bob.end() == 3013
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert ids(await ann.events(1)) == ["Z1"]
        await redis.delete(key)
        async with await open_ws(url, **bearer()) as bob:
            assert (await bob.frame()).type == "exmail.snapshot"
    [said] = [record for record in caplog.records if record.message == "a mailbox cannot be read"]
    assert key in said.error


async def test_messages_that_are_none_end_nothing(stage: Any, transport: str) -> None:
    """Whoever may publish can send anything, on any channel; the journal knows what there is."""
    url, writer, redis = stage
    async with await connect(url, transport) as client:
        await client.frame()
        for channel in (KEYS.mailbox_channel(BOB), KEYS.kind_channel("directory"), KEYS.kind_channel("system")):
            for payload in (
                *(b"", b"{", b"\xff" * 60, b'{"specversion":"1.0","id":"abcdefgh-x","sequence":'),
                *(b'"type":"exmail.directory.user.', b'{"type":"exmail.directory.user.x","data":[]}'),
                b'{"type":"exmail.directory.user.x","data":{"alias":5,"profile":{"slaves":7}}}',
                b'{"type":"exmail.upstream.x"}',
            ):
                await redis.publish(channel, payload)
        await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]


async def test_a_round_comes_to_everybody(redis_url: str) -> None:
    """More connections than are looked at in one piece, those who left among them."""
    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        opening = await edge.open(session="s-0")
        crowd = []
        for number in range(600):
            opening.tail.opening += 1
            crowd.append(await edge.join(opening, session=f"s-{number % 3}"))
        for _, peer in crowd[::5]:
            peer.close()
        await edge.standings.kick(session="s-1", kept_s=60)
        edge.rounds.all()
        await until(
            lambda: all(
                each.connection.code == 3503 for each, _ in crowd[1::3] if each.connection.transport is not None
            )
        )
        assert not any(each.connection.code for each, _ in crowd[2::3] if each.connection.transport is not None)
