"""What pub/sub loses and what Redis forgets, over both transports: repaired or said, never silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.stage import ANN, KEYS, leading_writer, lost_messages, mail, running_edge

from .conftest import QUICK, connect, ids

pytestmark = pytest.mark.usefixtures("by_each_channel")


async def test_a_lost_message_is_repaired_in_order(stage: Any, transport: str) -> None:
    """Pub/sub lost one: the jump in seq sends the edge to the journal."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        await writer.commit([mail("Z1")])
        async with lost_messages(writer):
            await writer.commit([mail("Z2"), mail("Z3")])
        await writer.commit([mail("Z4")])
        assert ids(await client.events(4)) == ["Z1", "Z2", "Z3", "Z4"]


async def test_a_lost_last_message_is_found_without_a_next_one(stage: Any, transport: str) -> None:
    """No jump to see; comparing tops finds it."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]


async def test_a_repair_may_bring_more_than_the_ring_holds(stage: Any, transport: str) -> None:
    """All of 180 lost messages, none skipped."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([mail(f"L{number}") for number in range(180)])
        await writer.commit([mail("Z1")])
        assert ids(await client.events(181)) == [*(f"L{number}" for number in range(180)), "Z1"]


async def test_a_loss_beyond_the_history_is_said_on_the_open_connection(stage: Any, transport: str) -> None:
    """A new snapshot: throw away what you have."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([mail(f"L{number}", number) for number in range(250)])
        await writer.commit([mail("Z1", 7)])
        data = (await client.until("exmail.snapshot")).data["data"]
        assert (data["resumed"], data["reason"], data["unread"]) == (False, "expired", 7)
        await writer.commit([mail("Z2", 8)])
        assert ids(await client.events(1)) == ["Z2"]


async def test_a_cut_pubsub_connection_loses_nothing(stage: Any, transport: str) -> None:
    """Every reconnect is a gap on all channels, repaired from the journal."""
    url, writer, redis = stage
    async with await connect(url, transport) as client:
        await client.frame()
        await writer.commit([mail("Z1")])
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await writer.commit([mail("Z2")])
        await writer.commit([mail("Z3")])
        assert ids(await client.events(3)) == ["Z1", "Z2", "Z3"]


async def test_a_new_generation_is_a_new_snapshot(stage: Any, transport: str) -> None:
    """Redis went back: reason ``epoch``, and the new stream from seq 1."""
    url, writer, redis = stage
    async with await connect(url, transport) as client:
        old = (await client.frame()).data["data"]["position"]
        await writer.commit([mail("Z1"), mail("Z2")])
        await client.events(2)
        await redis.set(KEYS.commits, 1)
        await writer.commit([mail("Z3", 9)])
        data = (await client.until("exmail.snapshot")).data["data"]
        assert (data["resumed"], data["reason"], data["unread"]) == (False, "epoch", 9)
        assert data["position"].partition("-")[0] != old.partition("-")[0]
        await writer.commit([mail("Z4", 10)])
        assert ids(await client.events(1)) == ["Z4"]


async def test_redis_away_new_ones_come_later_standing_ones_stay(own_server: Any, transport: str) -> None:
    """A Redis that was restarted: the standing connection goes on by itself, nothing lost."""
    async with leading_writer(own_server.url) as (writer, redis), running_edge(own_server.url, QUICK) as (url, _):
        await redis.config_set("appendfsync", "always")
        async with await connect(url, transport) as client:
            await client.frame()
            await writer.commit([mail("Z1")])
            await client.events(1)
            own_server.kill()
            async with await connect(url, transport, mailbox=ANN) as refused:
                assert await refused.end() == 3013
            await asyncio.to_thread(own_server.restart)
            await writer.commit([mail("Z2")])
            assert ids(await client.events(1)) == ["Z2"]


async def test_yesterdays_data_are_no_silent_resume(own_server: Any, tmp_path: Any, transport: str) -> None:
    """Redis started with an older file: a new epoch, and no position twice with other contents."""
    import shutil

    data = tmp_path / "valkey"
    async with leading_writer(own_server.url) as (writer, redis), running_edge(own_server.url, QUICK) as (url, _):
        await redis.config_set("appendfsync", "always")
        await writer.commit([mail("Z1")])
        shutil.copytree(data, tmp_path / "yesterday", ignore=shutil.ignore_patterns("*.pid", "*.lock"))
        async with await connect(url, transport) as client:
            await client.frame()
            await writer.commit([mail("Z2"), mail("Z3")])
            seen = {event["id"]: event["data"]["mail_id"] for event in await client.events(2)}
            own_server.kill()
            for name in ("appendonlydir",):
                shutil.rmtree(data / name)
                shutil.copytree(tmp_path / "yesterday" / name, data / name)
            await asyncio.to_thread(own_server.restart)
            await writer.commit([mail("Z4", 4)])
            snapshot = (await client.until("exmail.snapshot")).data["data"]
            assert (snapshot["resumed"], snapshot["reason"]) == (False, "epoch")
            await writer.commit([mail("Z5", 5)])
            for frame_event in [*snapshot["recent"], *await client.events(1)]:
                assert seen.get(frame_event["id"], frame_event["data"]["mail_id"]) == frame_event["data"]["mail_id"]
