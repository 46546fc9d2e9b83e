"""What is shown follows who one is now: an address that changes hands, on every door and every open connection."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from bridge.edge.rounds import Rounds
from bridge.events import DIRECTORY, DIRECTORY_SYNCED, USER_UPDATED, Event, build_event
from bridge.journal.calls import Advance, Forget
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer
from tests.support.browser_side import OPENERS
from tests.support.stage import ANN, BOB, NO_SWEEP, QUICK, bearer, leading_writer, mail, running_edge

from .conftest import PATHS

ALIAS = "sales@gzdev.com"
OLD = int(time.time()) - 300


def fresh(ahead_s: int = 30) -> int:
    """When a token is signed that is made after what has just happened, whatever the second."""
    return int(time.time()) + ahead_s


class DeafKeys(Keys):
    """Names under which directory events are published where no edge listens."""

    def kind_channel(self, kind: str) -> str:
        return f"{self.namespace}:nobody:{kind}"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds over everybody follow each other ten times as soon as in life."""
    monkeypatch.setitem(Rounds.__init__.__kwdefaults__, "rest_s", 0.1)


@pytest.fixture
async def stage(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Writer, Redis]]:
    """As in conftest, and without a comparison of tops unless a test asks for one."""
    pace = getattr(request, "param", NO_SWEEP)
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url, pace) as (url, _):
        yield url, writer, redis


async def connect(url: str, transport: str, mailbox: str, **claims: Any) -> Any:
    return await OPENERS[transport](url, PATHS[transport], **bearer(mailbox, **claims))


def changed(alias: str, slaves: Sequence[str] | None = None) -> Event:
    """An account changed; without ``slaves`` they are not among the fields that are published."""
    profile = {"alias": alias} if slaves is None else {"alias": alias, "slaves": list(slaves)}
    data = {"alias": alias, "profile": profile}
    return build_event(namespace="exmail", stream=DIRECTORY, type=USER_UPDATED, time_s=1e9, data=data)


TAKEN_AWAY = Advance(None, None, slaves_removed=[ALIAS], moved=[ALIAS], events=[changed(BOB, [])])
HANDED_ON = Advance(*(None, None), slaves={ALIAS: ANN}, moved=[ALIAS], events=[changed(BOB, []), changed(ANN, [ALIAS])])
QUIETLY = Advance(None, None, slaves={ALIAS: ANN}, moved=[ALIAS], events=[changed(ANN)])
CHANGES = pytest.mark.parametrize(
    "change", [TAKEN_AWAY, HANDED_ON, QUIETLY], ids=["taken away", "handed on", "slaves are not published"]
)


async def test_a_mirror_that_was_pulled_afresh_is_looked_at(stage: Any, transport: str) -> None:
    """It tells of no account, and any address may mean another one."""
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: BOB})])
    async with await connect(url, transport, ALIAS) as client:
        await client.frame()
        synced = build_event(namespace="exmail", stream=DIRECTORY, type=DIRECTORY_SYNCED, time_s=1e9, data={})
        await writer.commit([Advance(None, None, slaves={ALIAS: ANN}, events=[synced])])
        assert await client.end() == 3009


@CHANGES
async def test_a_connection_ends_when_its_address_means_another_account(
    stage: Any, transport: str, change: Advance
) -> None:
    """With 3009, before anything more of the account is shown; who asked for the account itself stays."""
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: BOB})])
    async with await connect(url, transport, ALIAS, iat=OLD) as alias, await connect(url, transport, BOB) as bob:
        for client in (alias, bob):
            assert (await client.frame()).data["data"]["mailbox"] == BOB
        await writer.commit([change])
        assert await alias.end() == 3009
        await writer.commit([mail("Z1")])
        assert [event["data"]["mail_id"] for event in await bob.events(1)] == ["Z1"]


@pytest.mark.parametrize("stage", [QUICK], indirect=True)
async def test_a_lost_event_leaves_nobody_in_anothers_mailbox(stage: Any, transport: str) -> None:
    """Pub/sub lost it; the next comparison finds it."""
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: BOB})])
    async with await connect(url, transport, ALIAS) as client:
        await client.frame()
        writer._keys = DeafKeys("exmail")
        await writer.commit([HANDED_ON])
        assert await client.end() == 3009


async def test_a_new_connection_to_redis_looks_at_everybody(stage: Any, transport: str) -> None:
    """What happened while nobody listened is found at once."""
    url, writer, redis = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: BOB})])
    async with await connect(url, transport, ALIAS) as client:
        await client.frame()
        writer._keys = DeafKeys("exmail")
        await writer.commit([HANDED_ON])
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await client.end() == 3009


async def test_the_same_address_for_another_person_ends_it_too(stage: Any, transport: str) -> None:
    """Deleted and made anew within one answer: the name is the same, and a credential of before means the former."""
    url, writer, _ = stage
    async with (
        await connect(url, transport, BOB, iat=OLD) as old,
        await connect(url, transport, BOB, iat=fresh()) as new,
    ):
        await old.frame()
        await new.frame()
        await writer.commit([Advance(None, None, moved=[BOB], events=[changed(BOB)])])
        assert await old.end() == 3009
        await writer.commit([mail("Z1")])
        assert len(await new.events(1)) == 1


async def test_an_alias_ends_with_the_person_behind_its_account(stage: Any, transport: str) -> None:
    """The account was made anew by somebody who was given the same alias: it means what it meant, and nobody of before.

    Nothing of his is shown to the former holder, neither on what is open nor on a new connection with his credential.
    """
    url, writer, _ = stage
    await writer.commit([Advance(None, None, slaves={ALIAS: BOB})])
    async with (
        await connect(url, transport, ALIAS, iat=OLD) as old,
        await connect(url, transport, ALIAS, iat=fresh()) as new,
    ):
        for client in (old, new):
            assert (await client.frame()).data["data"]["mailbox"] == BOB
        await writer.commit(
            [Forget(BOB, anew=True), Advance(None, None, moved=[BOB], events=[changed(BOB, [ALIAS])]), mail("Z1")]
        )
        assert await old.end() == 3009
        assert not any("Z1" in str(frame.data) for frame in old.frames)
        snapshot = await new.until("exmail.snapshot")
        assert [event["data"]["mail_id"] for event in snapshot.data["data"]["recent"]] == ["Z1"]
    async with await connect(url, transport, ALIAS, iat=OLD) as again:
        assert await again.end() == 3009
        assert not any("Z1" in str(frame.data) for frame in again.frames)


async def test_an_old_credential_does_not_lead_into_the_new_holders_mailbox(stage: Any, transport: str) -> None:
    """Older, or without a word of its age: 3009. What was signed afterwards opens it."""
    url, writer, _ = stage
    await writer.commit([mail("SECRET", mailbox=ANN), HANDED_ON])
    for claims in ({}, {"iat": OLD}, {"iat": fresh(3600)}):
        async with await connect(url, transport, ALIAS, **claims) as client:
            assert await client.end() == 3009
            assert not any("SECRET" in str(frame.data) for frame in client.frames)
    async with await connect(url, transport, ALIAS, iat=fresh()) as client:
        assert (await client.frame()).data["data"]["mailbox"] == ANN
    # Whom nobody took the address from needs no age.
    async with await connect(url, transport, ANN) as client:
        assert (await client.frame()).type == "exmail.snapshot"


async def test_further_mailboxes_are_looked_at_alike(stage: Any, transport: str) -> None:
    """``mailboxes`` of a token name addresses as ``sub`` does."""
    url, writer, _ = stage
    await writer.commit([HANDED_ON])
    path = f"{PATHS[transport]}?mailbox={ALIAS}"
    async with await OPENERS[transport](url, path, **bearer(BOB, mailboxes=[ALIAS])) as client:
        assert await client.end() == 3009


@pytest.mark.parametrize("path", ["/unread", "/history"])
async def test_plain_requests_follow_who_one_is_now(stage: Any, path: str) -> None:
    """401, the check that failed, and nothing of the mailbox."""
    url, writer, _ = stage
    await writer.commit([mail("SECRET", mailbox=ANN), HANDED_ON])
    async with aiohttp.ClientSession() as session:
        async with session.get(url + path, headers=bearer(ALIAS, iat=OLD)) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"]
            told = await answer.text()
        assert '"error":"moved"' in told
        assert "SECRET" not in told
        async with session.get(url + path, headers=bearer(ALIAS, iat=fresh())) as answer:
            assert answer.status == 200


async def test_a_ticket_is_as_old_as_its_token(stage: Any, transport: str) -> None:
    """What counts is when the token was signed, not when the ticket was bought; one that opens nothing is not sold."""
    url, writer, _ = stage
    await writer.commit([HANDED_ON])
    async with (
        aiohttp.ClientSession(headers=bearer(ALIAS, mailboxes=[BOB])) as session,
        session.post(f"{url}/ticket") as answer,
    ):
        ticket = (await answer.json())["ticket"]
    async with await OPENERS[transport](url, f"{PATHS[transport]}?ticket={ticket}&mailbox={BOB}") as client:
        assert (await client.frame()).data["data"]["mailbox"] == BOB
    for iat, frame in ((OLD, None), (fresh(), "exmail.snapshot")):
        async with (
            aiohttp.ClientSession(headers=bearer(ALIAS, iat=iat)) as session,
            session.post(f"{url}/ticket") as answer,
        ):
            bought = await answer.json()
        if frame is None:
            assert (answer.status, bought["error"]) == (401, "moved")
            continue
        async with await OPENERS[transport](url, f"{PATHS[transport]}?ticket={bought['ticket']}") as client:
            assert (await client.frame()).type == frame


async def test_a_change_of_long_ago_asks_for_nothing(redis_url: str, transport: str) -> None:
    """After the longest life of a token none of before is left."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, NO_SWEEP, BRIDGE_EDGE_KICK_SECONDS="60") as (url, _),
    ):
        await writer.commit([HANDED_ON])
        [(name, moved)] = await redis.zrange("{exmail}:moved", 0, -1, withscores=True)
        await redis.zadd("{exmail}:moved", {name: moved - 61_000})
        async with await connect(url, transport, ALIAS, iat=OLD) as client:
            assert (await client.frame()).data["data"]["mailbox"] == ANN


async def test_nothing_of_the_next_holder_is_shown_before_it_is_seen_who_looks(stage: Any, transport: str) -> None:
    """The watchman rests between two rounds, but a mailbox that begins a new epoch may have another holder."""
    url, writer, _ = stage
    await writer.commit([mail("Z1")])
    async with (
        await connect(url, transport, BOB, iat=OLD) as old,
        await connect(url, transport, BOB, iat=fresh()) as new,
    ):
        for client in (old, new):
            await client.frame()
        # One round for all has just been.
        await writer.commit([Advance(None, None, moved=[ANN], events=[changed(ANN)])])
        await writer.commit(
            [Advance(None, None, moved=[BOB], events=[changed(BOB)]), Forget(BOB, anew=True), mail("Z2")]
        )
        assert await old.end() == 3009
        assert not any("Z2" in str(frame.data) for frame in old.frames)
        snapshot = await new.until("exmail.snapshot")
        assert (snapshot.data["data"]["resumed"], len(snapshot.data["data"]["recent"])) == (False, 1)
