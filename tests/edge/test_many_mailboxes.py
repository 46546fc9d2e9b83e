"""``?mailbox=*``: all mailboxes of a token on one connection."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from bridge.journal.calls import Advance
from bridge.journal.keys import Keys
from bridge.journal.standing import Standings
from tests.support.browser_side import OPENERS
from tests.support.stage import ANN, BOB, KEYS, bearer, leading_writer, mail, running_edge
from tests.support.waiting import until

from .conftest import PATHS, QUICK, ids

EVE = "eve@gzdev.com"
ALIAS = "sales@gzdev.com"
THREE = {"mailboxes": [ANN, EVE]}


async def connect(url: str, transport: str, after: str = "", **claims: Any) -> Any:
    query = "?mailbox=*" + (f"&after={after}" if after else "")
    return await OPENERS[transport](url, PATHS[transport] + query, **bearer(BOB, **(claims or THREE)))


async def snapshots(client: Any, count: int = 3) -> dict[str, dict[str, Any]]:
    """The first frames, by mailbox."""
    found = {}
    for _ in range(count):
        frame = await client.frame()
        assert frame.type == "exmail.snapshot"
        found[frame.data["data"]["mailbox"]] = frame.data["data"]
    return found


def kept(client: Any) -> str:
    """What its client resumes from: the last ``id:`` line, or on a WebSocket the newest position of each mailbox."""
    lines = [frame.id for frame in client.frames if frame.id is not None]
    if lines:
        return str(lines[-1])
    newest: dict[str, str] = {}
    for frame in client.frames:
        if frame.type == "exmail.snapshot":
            newest[frame.data["data"]["mailbox"]] = frame.data["data"]["position"]
        elif "id" in frame.data:
            newest[frame.data["source"].rpartition("/")[2]] = frame.data["id"]
    # In no order that the edge could know.
    return ",".join(sorted(newest.values()))


async def withdrawn(client: Any) -> tuple[str, int]:
    data = (await client.until("exmail.withdrawn")).data["data"]
    return data["mailbox"], data["code"]


async def test_a_snapshot_for_each_and_events_of_all(stage: Any, transport: str) -> None:
    """In the order of the token; one whose token names a single mailbox is served alike."""
    url, writer, _ = stage
    await writer.commit([mail("Z0", mailbox=ANN)])
    async with await connect(url, transport) as client, await connect(url, transport, mailboxes=[]) as single:
        found = await snapshots(client)
        assert list(found) == [BOB, ANN, EVE]
        assert [each["reason"] for each in found.values()] == ["first"] * 3
        assert list(await snapshots(single, 1)) == [BOB]
        await writer.commit([mail("Z1"), mail("Z2", mailbox=ANN), mail("Z3", mailbox=EVE), mail("Z4", mailbox=ANN)])
        told = await client.events(4)
        assert sorted(ids(told)) == ["Z1", "Z2", "Z3", "Z4"]
        assert [each["data"]["mail_id"] for each in told if each["subject"] == ANN] == ["Z2", "Z4"]
        assert ids(await single.events(1)) == ["Z1"]


async def test_each_id_line_has_the_position_of_every_mailbox(stage: Any) -> None:
    """At each frame it is exactly what has been told so far; frames without a place have none."""
    url, writer, _ = stage
    async with await connect(url, "sse") as client:
        await snapshots(client)
        await writer.commit([mail(f"Z{number}", mailbox=(BOB, ANN, EVE)[number % 3]) for number in range(9)])
        await client.events(9)
        newest: dict[str, str] = {}
        for frame in client.frames:
            if frame.type == "exmail.snapshot":
                newest[frame.data["data"]["mailbox"]] = frame.data["data"]["position"]
            else:
                newest[frame.data["subject"]] = frame.data["id"]
            assert frame.id == ",".join(newest[each] for each in (BOB, ANN, EVE) if each in newest)


async def test_all_resume_at_once(stage: Any, transport: str) -> None:
    """After a cut each goes on from its own place, nothing lost and nothing twice, by what the client kept."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await snapshots(client)
        await writer.commit([mail("Z1"), mail("Z2", mailbox=ANN)])
        await client.events(2)
        after = kept(client)
    await writer.commit([mail("Z3"), mail("Z4", mailbox=ANN), mail("Z5", mailbox=EVE)])
    async with await connect(url, transport, after) as client:
        # What was missed of one comes before the snapshot of the next.
        told = await client.events(3)
        assert sorted(ids(told)) == ["Z3", "Z4", "Z5"]
        begun = [frame.data["data"] for frame in client.frames if frame.type == "exmail.snapshot"]
        assert [(each["mailbox"], each["resumed"]) for each in begun] == [(BOB, True), (ANN, True), (EVE, True)]
        # Whoever is cut off again in between loses the place of none.
        assert {frame.id.count(",") for frame in client.frames if frame.id is not None} <= {2}


async def test_each_says_for_itself_whether_it_is_resumed(redis_url: str, transport: str) -> None:
    """One resumed, one whose history does not reach back, one that has begun a new epoch."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, QUICK) as (url, _),
    ):
        await writer.commit([mail("A1", mailbox=ANN), mail("B1")])
        async with await connect(url, transport) as client:
            await snapshots(client)
            after = kept(client)
        await writer.commit([mail("B2"), mail("A2", mailbox=ANN), mail("A3", mailbox=ANN)])
        await redis.delete(KEYS.log(ANN))
        await redis.hset(KEYS.state(EVE), "epoch", "another1")
        async with await connect(url, transport, after) as client:
            told = await client.events(1)
            assert ids(told) == ["B2"]
            while len([frame for frame in client.frames if frame.type == "exmail.snapshot"]) < 3:
                await client.frame()
            begun = {each.data["data"]["mailbox"]: each.data["data"] for each in client.frames if "id" not in each.data}
            assert [begun[each].get("reason") for each in (BOB, ANN, EVE)] == [None, "expired", "epoch"]


@pytest.mark.parametrize("after", ["nonsense", ",,,", "x" * 4000, ",".join(f"epoch{n:03}-1" for n in range(150))])
async def test_a_hostile_after_is_another_epoch(stage: Any, transport: str, after: str) -> None:
    """Never an error, and never somebody's place: each mailbox begins anew."""
    url, writer, _ = stage
    async with await connect(url, transport, after) as client:
        assert {each["reason"] for each in (await snapshots(client)).values()} == {"epoch"}
        await writer.commit([mail("Z1", mailbox=EVE)])
        assert ids(await client.events(1)) == ["Z1"]


async def test_the_positions_of_others_lead_nowhere(stage: Any, transport: str) -> None:
    """A position in a mailbox that the token does not name opens nothing of it."""
    url, writer, redis = stage
    await writer.commit([mail("Z1", mailbox="other@gzdev.com")])
    epoch = (await redis.hget(KEYS.state("other@gzdev.com"), "epoch")).decode()
    async with await connect(url, transport, f"{epoch}-0") as client:
        assert {each["reason"] for each in (await snapshots(client)).values()} == {"epoch"}
        assert [each["recent"] for each in (frame.data["data"] for frame in client.frames)] == [[], [], []]


async def test_one_that_is_barred_leaves_the_others_alone(stage: Any, transport: str) -> None:
    """It is said, nothing more of it is shown, and the last one takes the connection with it; a new one skips it."""
    url, writer, _ = stage
    async with await connect(url, transport) as client:
        await snapshots(client)
        # The first: what the edge itself says goes behind its frames.
        await writer.commit([Advance(None, None, barred=[BOB])])
        assert await withdrawn(client) == (BOB, 3507)
        await writer.commit([mail("Z1"), mail("Z2", mailbox=ANN)])
        assert ids(await client.events(1)) == ["Z2"]
        async with await connect(url, transport, kept(client)) as again:
            assert {each["resumed"] for each in (await snapshots(again, 2)).values()} == {True}
            assert await withdrawn(again) == (BOB, 3507)
        await writer.commit([Advance(None, None, barred=[ANN])])
        assert await withdrawn(client) == (ANN, 3507)
        await writer.commit([Advance(None, None, barred=[EVE])])
        assert await client.end() == 3507
    async with await connect(url, transport) as client:
        assert await client.end() == 3507
        assert not any(frame.type == "exmail.snapshot" for frame in client.frames)


async def test_an_alias_that_changes_hands_leaves_the_others_alone(stage: Any, transport: str) -> None:
    """3009 for that one alone, and nothing of its new holder is shown."""
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: ANN})])
    async with await connect(url, transport, mailboxes=[ALIAS, EVE]) as client:
        assert list(await snapshots(client)) == [BOB, ANN, EVE]
        await writer.commit([Advance(None, None, slaves={ALIAS: "new@gzdev.com"}, moved=[ALIAS])])
        assert await withdrawn(client) == (ANN, 3009)
        await writer.commit([mail("Z1", mailbox=ANN), mail("Z2", mailbox="new@gzdev.com"), mail("Z3")])
        assert ids(await client.events(1)) == ["Z3"]


async def test_two_names_of_one_account_are_one_mailbox(stage: Any, transport: str) -> None:
    """Its own name counts: the alias may be taken away."""
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: ANN})])
    async with (
        await connect(url, transport, mailboxes=[ALIAS, ANN]) as client,
        await OPENERS[transport](url, PATHS[transport], **bearer(ALIAS)) as alone,
    ):
        assert list(await snapshots(client, 2)) == [BOB, ANN]
        await writer.commit([Advance(None, None, slaves_removed=[ALIAS], moved=[ALIAS])])
        assert await alone.end() == 3009
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert not any(frame.type == "exmail.withdrawn" for frame in client.frames)
        assert ids(await client.events(1)) == ["Z1"]


@pytest.mark.parametrize("kick", [{"mailbox": ANN}, {"session": "s1"}], ids=["mailbox", "session"])
async def test_who_is_kicked_goes_whole(stage: Any, transport: str, kick: dict[str, str]) -> None:
    """A kick ends connections, of a session or of a mailbox, whatever else they follow."""
    url, _, redis = stage
    async with await connect(url, transport, sid="s1", **THREE) as client:
        await snapshots(client)
        await Standings(redis, Keys("exmail")).kick(kept_s=60, **kick)
        assert await client.end() == 3503


async def test_what_cannot_be_read_leaves_the_others_alone(stage: Any, transport: str) -> None:
    """One odd value in Redis costs one mailbox, at the door too."""
    url, writer, redis = stage
    await redis.set(KEYS.state(ANN), "odd")
    async with await connect(url, transport) as client:
        assert list(await snapshots(client, 2)) == [BOB, EVE]
        assert await withdrawn(client) == (ANN, 3013)
        await writer.commit([mail("Z1", mailbox=EVE)])
        assert ids(await client.events(1)) == ["Z1"]


async def test_it_counts_once_at_each_of_its_mailboxes(redis_url: str, transport: str) -> None:
    """One place of the process and of the address; a mailbox that is full is withheld alone, and free again later."""
    limits = {"BRIDGE_EDGE_PER_MAILBOX": "1", "BRIDGE_EDGE_MAX_CONNECTIONS": "3"}
    async with leading_writer(redis_url), running_edge(redis_url, QUICK, **limits) as (url, _):
        async with await OPENERS[transport](url, PATHS[transport], **bearer(ANN)) as ann:
            await ann.frame()
            async with await connect(url, transport) as client:
                assert list(await snapshots(client, 2)) == [BOB, EVE]
                assert await withdrawn(client) == (ANN, 3504)
                async with await OPENERS[transport](url, PATHS[transport], **bearer(EVE)) as third:
                    assert await third.end() == 3504

        async def has_room() -> bool:
            async with await connect(url, transport) as client:
                # Whoever has just left may still have his place.
                with suppress(EOFError):
                    frames = [await client.frame() for _ in range(3)]
                    return all(frame.type == "exmail.snapshot" for frame in frames)
            return False

        await until(has_room)


async def test_all_are_online(stage: Any, transport: str) -> None:
    """The worker asks the provider for the count of each."""
    url, _, redis = stage
    async with await connect(url, transport) as client:
        await snapshots(client)

        async def online() -> bool:
            return {BOB.encode(), ANN.encode(), EVE.encode()} <= set(await redis.zrange(KEYS.online, 0, -1))

        await until(online)


async def test_a_lost_message_is_repaired_for_one(redis_url: str, transport: str) -> None:
    """What pub/sub loses of one mailbox comes all the same, in order, and the others' places stay right."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, QUICK) as (url, _),
    ):
        async with await connect(url, transport) as client:
            await snapshots(client)
            writer.names.loses.set()
            await writer.commit([mail("Z1", mailbox=ANN)])
            writer.names.loses.clear()
            await writer.commit([mail("Z2"), mail("Z3", mailbox=ANN)])
            told = await client.events(3)
            assert [each["data"]["mail_id"] for each in told if each["subject"] == ANN] == ["Z1", "Z3"]
            after = kept(client)
        async with await connect(url, transport, after) as client:
            found = await snapshots(client)
            assert [each["position"].rpartition("-")[2] for each in found.values()] == ["1", "2", "0"]


async def test_plain_requests_are_for_one_mailbox(stage: Any) -> None:
    """``*`` is for what stays open; the answer says so."""
    url, _, _ = stage
    async with aiohttp.ClientSession(headers=bearer(BOB, **THREE)) as session:
        for path in ("unread", "history"):
            async with session.get(f"{url}/{path}?mailbox=*") as answer:
                assert answer.status == 403
                assert "/ws and /events" in (await answer.json())["message"]
