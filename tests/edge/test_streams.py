"""Browser connections, over both transports: snapshot, live, resume, gaps, slow readers, endings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.journal.calls import Advance, Announce
from tests.support.browser_side import OPENERS
from tests.support.stage import ANN, BOB, KEYS, bearer, count, leading_writer, mail, running_edge
from tests.support.waiting import until
from tests.support.workers import sample

from .conftest import PATHS, QUICK, connect, ids


async def test_a_mailbox_never_seen_is_served(stage: Any, transport: str) -> None:
    """Nulls, nothing recent, a position that can be resumed over; the upstream's state and whether it is known."""
    url, writer, redis = stage
    async with await connect(url, transport) as client:
        frame = await client.frame()
        data = frame.data["data"]
        epoch, _, seq = data.pop("position").partition("-")
        assert (len(epoch), seq) == (8, "0")
        assert data.pop("upstream")["state"] == "disconnected"
        assert len(data.pop("session")) == 32
        assert 0 < data.pop("expires_in") <= 660
        assert data == {
            "mailbox": BOB,
            "unread": None,
            "as_of": None,
            "resumed": False,
            "reason": "first",
            "recent": [],
            "known": False,
        }
        assert await redis.sismember(KEYS.wanted, BOB)
        await writer.commit([mail("Z1", 5)])
        [event] = await client.events(1)
        assert event["id"] == f"{epoch}-1"


async def test_an_event_is_the_same_bytes_on_redis_and_in_the_browser(stage: Any, transport: str) -> None:
    """No re-encoding on the way; SSE's ``id:`` is the position."""
    url, writer, redis = stage
    async with await connect(url, transport) as client:
        await client.frame()
        await writer.commit([mail("Z1", 5)])
        frame = await client.frame()
        [(_, fields)] = await redis.xrange(KEYS.events)
        assert frame.raw == fields[b"event"]
        if transport == "sse":
            assert frame.id == frame.data["id"]


async def test_the_snapshot_is_the_badge_and_the_recent_mails(stage: Any, transport: str) -> None:
    """Who comes for the first time sees what is there, then what comes."""
    url, writer, _ = stage
    await writer.commit([mail("Z1", 1), mail("Z2", 2), count(1)])
    async with await connect(url, transport) as client:
        frame = await client.frame()
        data = frame.data["data"]
        assert (data["unread"], ids(data["recent"])) == (1, ["Z1", "Z2"])
        assert data["position"].endswith("-3")
        if transport == "sse":
            assert frame.id == data["position"]
            assert 2000 <= client.retry_ms <= 5000
            assert client.empty_blocks == 0
        await writer.commit([mail("Z3", 2)])
        assert ids(await client.events(1)) == ["Z3"]


async def test_resume_gives_what_was_missed_and_goes_on_live(stage: Any, transport: str) -> None:
    """Exactly once and in order, over a connection that was dropped hard."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        await writer.commit([mail("Z1", 1)])
        await client.events(1)
        position = client.position
    await writer.commit([mail("Z2", 2), count(1), mail("Z3", 2)])
    async with await connect(url, transport, f"?after={position}") as client:
        data = (await client.frame()).data["data"]
        assert (data["resumed"], data["position"], data["unread"]) == (True, position, 2)
        assert "recent" not in data
        await writer.commit([mail("Z4", 3)])
        events = await client.events(4)
        assert [event["id"].partition("-")[2] for event in events] == ["2", "3", "4", "5"]
        assert [event["data"]["unread"] for event in events] == [2, 1, 2, 3]


async def test_resume_with_nothing_missed(stage: Any, transport: str) -> None:
    """A quiet mailbox: resumed, whatever the age."""
    url, writer, redis = stage
    await writer.commit([mail("Z1", 1)])
    async with await connect(url, transport) as client:
        position = (await client.frame()).data["data"]["position"]
    await redis.delete(KEYS.log(BOB))
    async with await connect(url, transport, f"?after={position}") as client:
        assert (await client.frame()).data["data"]["resumed"] is True


@pytest.mark.parametrize(
    ("after", "reason"), [("zzzzzzzz-1", "epoch"), ("nonsense", "epoch"), ("%00", "epoch"), ("", "first")]
)
async def test_positions_that_cannot_be_resumed_from(stage: Any, transport: str, after: str, reason: str) -> None:
    """Never a 400: an EventSource would die of it."""
    url, _, _ = stage
    async with await connect(url, transport, f"?after={after}") as client:
        data = (await client.frame()).data["data"]
        assert (data["resumed"], data["reason"]) == (False, reason)


async def test_a_history_that_is_gone_is_said(stage: Any, transport: str) -> None:
    """``expired``, with the newest mails instead."""
    url, writer, redis = stage
    [first, *_] = await writer.commit([mail("Z1"), mail("Z2"), mail("Z3")])
    await redis.xtrim(KEYS.log(BOB), maxlen=1, approximate=False)
    async with await connect(url, transport, f"?after={first.epoch}-1") as client:
        data = (await client.frame()).data["data"]
        assert (data["resumed"], data["reason"], ids(data["recent"])) == (False, "expired", ["Z3"])


async def test_last_event_id_wins_over_after(stage: Any) -> None:
    """The header is the newer one: an EventSource's own reconnect repeats the URL."""
    url, writer, _ = stage
    [first, *_] = await writer.commit([mail("Z1"), mail("Z2"), mail("Z3")])
    client = await connect(url, "sse", f"?after={first.epoch}-1", Last_Event_ID=f"{first.epoch}-2")
    async with client:
        assert (await client.frame()).data["data"]["position"] == f"{first.epoch}-2"
        assert ids(await client.events(1)) == ["Z3"]


async def test_nobody_sees_anothers_mail(stage: Any, transport: str) -> None:
    """A token for one mailbox; even the refusal says nothing of the other."""
    url, writer, _ = stage
    async with await connect(url, transport) as bob, await connect(url, transport, mailbox=ANN) as ann:
        await bob.frame()
        await ann.frame()
        await writer.commit([mail("Z1", 1, ANN), mail("Z2", 1, BOB), mail("Z3", 2, ANN)])
        assert ids(await bob.events(1)) == ["Z2"]
        assert ids(await ann.events(2)) == ["Z1", "Z3"]
    async with await connect(url, transport, f"?mailbox={ANN}") as client:
        assert await client.end() == 3507


async def test_a_slave_is_its_account(stage: Any, transport: str) -> None:
    """A token for a 别名 follows the account's stream."""
    url, writer, _ = stage
    await writer.commit([Advance(None, 5, profiles={BOB: b"{}"}, slaves={"bobby@gzdev.com": BOB})])
    async with await connect(url, transport, mailbox="bobby@gzdev.com") as client:
        data = (await client.frame()).data["data"]
        assert (data["mailbox"], data["known"]) == (BOB, True)
        await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]


async def test_the_upstream_is_told_at_each_change(stage: Any, transport: str) -> None:
    """Connected, degraded, and disconnected when nobody leads."""
    url, writer, _ = stage
    from bridge.events import SYSTEM, build_event

    def announce(state: str) -> Announce:
        event = build_event(
            namespace="exmail", stream=SYSTEM, type=f"exmail.upstream.{state}", time_s=1, data={"since": 1}
        )
        return Announce(event, {"state": state, "since": "1", "why": "because"})

    async with await connect(url, transport) as client:
        await client.frame()
        await writer.commit([announce("connected")])
        assert (await client.until("exmail.upstream")).data["data"]["state"] == "connected"
        await writer.commit([announce("degraded")])
        assert (await client.until("exmail.upstream")).data["data"] == {
            "state": "degraded",
            "since": 1,
            "why": "because",
        }
        await writer.release()
        assert (await client.until("exmail.upstream")).data["data"]["state"] == "disconnected"


async def test_a_reader_that_pauses_loses_nothing(redis_url: str, transport: str) -> None:
    """Backed up, then reading again: everything, once, in order, from ring and journal."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, QUICK) as (url, _metrics),
        await connect(url, transport) as client,
    ):
        await client.frame()
        client.writer.transport.pause_reading()
        big = "长" * 1000
        await writer.commit([mail(f"Z{number}", subject=big) for number in range(60)])
        client.writer.transport.resume_reading()
        assert ids(await client.events(60)) == [f"Z{number}" for number in range(60)]


async def test_a_reader_that_never_reads_is_cut_and_can_resume(redis_url: str, transport: str) -> None:
    """Bounded memory for each; resume does the rest."""
    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url, QUICK) as (url, metrics):
        slow = await connect(url, transport)
        await slow.frame()
        slow.writer.transport.pause_reading()
        big = "慢" * 1000
        sent = 0
        while sample(metrics, "edge_slow_cuts_total") == 0:
            assert sent < 20_000, "never cut"
            await writer.commit([mail(f"Z{sent + number}", subject=big) for number in range(100)])
            sent += 100
        slow.writer.transport.resume_reading()
        assert await slow.end() is None
        position = slow.position
        async with await connect(url, transport, f"?after={position}") as again:
            data = (await again.frame()).data["data"]
            if data["resumed"]:
                last = int(position.partition("-")[2])
                assert ids(await again.events(sent - last))[-1] == f"Z{sent - 1}"
            else:
                assert data["reason"] == "expired"


async def test_a_connection_ends_with_its_token(redis_url: str, transport: str) -> None:
    """3005, told in words the client understands: come back with a new one."""
    async with leading_writer(redis_url), running_edge(redis_url, QUICK) as (url, _):
        for life_s in (2, 10, 40):
            # The leeway of a minute counts here as it does for admission.
            headers = bearer(life_s=life_s - 60)
            async with await OPENERS[transport](url, PATHS[transport], **headers) as client:
                if (await client.frame()).type == "exmail.snapshot":
                    assert await client.end() == 3005
                    return
            # He came to the door when it was over: on a busy machine it takes longer.
        raise AssertionError("nobody was let in")


async def test_shutdown_tells_everybody(redis_url: str, transport: str) -> None:
    """3001 and an end, at once."""
    async with leading_writer(redis_url):
        async with running_edge(redis_url, QUICK) as (url, _):
            clients = [await connect(url, transport) for _ in range(20)]
            for client in clients:
                await client.frame()
        assert [await client.end() for client in clients] == [3001] * 20


async def test_churn_leaves_nothing_behind(redis_url: str) -> None:
    """Connections, channels and tasks return to where they were."""
    async with leading_writer(redis_url) as (_, redis), running_edge(redis_url, QUICK) as (url, metrics):
        async with await connect(url, "sse") as client:
            await client.frame()
        before = len(asyncio.all_tasks())
        for _ in range(10):
            clients = [await connect(url, transport) for transport in PATHS for _ in range(10)]
            for client in clients:
                await client.frame()
                client.drop()
        await until(lambda: all(sample(metrics, "edge_connections", transport=transport) == 0 for transport in PATHS))
        await until(lambda: len(asyncio.all_tasks()) <= before)
        [(_, subscribers)] = await redis.pubsub_numsub(KEYS.mailbox_channel(BOB))
        assert subscribers <= 1
