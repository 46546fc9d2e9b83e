"""An account that is disabled or deleted loses its connections, on every transport, and gets no new ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from bridge.events import DIRECTORY, USER_DELETED, USER_UPDATED, Event, build_event
from bridge.journal.calls import Advance, Forget
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from tests.support.browser_side import OPENERS
from tests.support.stage import ANN, BOB, NO_SWEEP, QUICK, bearer, leading_writer, lost_messages, mail, running_edge
from tests.support.workers import sample

PATHS = {"websocket": "/ws", "sse": "/events"}
SLAVE = "robert@gzdev.com"


@pytest.fixture(params=["websocket", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def stage(redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Writer, Redis, Metrics]]:
    """An edge's URL, a writer that leads, Redis, and the edge's metrics; no sweep unless a test asks for one."""
    pace = getattr(request, "param", NO_SWEEP)
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url, pace) as (url, metrics):
        yield url, writer, redis, metrics


async def connect(url: str, transport: str, mailbox: str = BOB) -> Any:
    return await OPENERS[transport](url, PATHS[transport], **bearer(mailbox))


def member_event(type: str, alias: str = BOB, **data: Any) -> Event:
    return build_event(namespace="exmail", stream=DIRECTORY, type=type, time_s=1e9, data={"alias": alias, **data})


def barring(*, events: Sequence[Event]) -> Advance:
    return Advance(None, None, barred=[BOB], events=events)


DELETED = member_event(USER_DELETED)
DISABLED = member_event(USER_UPDATED, enabled=False, profile={"alias": BOB})


@pytest.mark.parametrize("event", [DELETED, DISABLED], ids=["deleted", "disabled"])
async def test_open_connections_end_with_3507(stage: Any, transport: str, event: Event) -> None:
    """At once, by every address of the account; others stay."""
    url, writer, _, _ = stage
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB})])
    async with (
        await connect(url, transport) as bob,
        await connect(url, transport, SLAVE) as slave,
        await connect(url, transport, ANN) as ann,
    ):
        for client in (bob, slave, ann):
            await client.frame()
        await writer.commit([barring(events=[event])])
        assert await bob.end() == await slave.end() == 3507
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert len(await ann.events(1)) == 1


async def test_a_barred_account_is_refused(stage: Any, transport: str) -> None:
    """A good token does not help; a script sees the code, and a slave is what its account is."""
    url, writer, _, metrics = stage
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB}, barred=[BOB])])
    for mailbox in (BOB, SLAVE):
        async with await connect(url, transport, mailbox) as client:
            assert await client.end() == 3507
    assert sample(metrics, "edge_refusals_total", reason="barred") == 2
    assert sample(metrics, "edge_connections", transport=transport) == 0
    await writer.commit([Advance(None, None, unbarred=[BOB])])
    async with await connect(url, transport) as client:
        assert (await client.frame()).type == "exmail.snapshot"


@pytest.mark.parametrize("path", ["/unread", "/history"])
async def test_plain_requests_of_a_barred_account_are_forbidden(stage: Any, path: str) -> None:
    """403, and why."""
    url, writer, _, _ = stage
    await writer.commit([mail("Z1"), Advance(None, None, barred=[BOB])])
    async with aiohttp.ClientSession(headers=bearer()) as session, session.get(url + path) as answer:
        assert answer.status == 403
        told = await answer.json()
    assert told["error"] == "barred"
    assert "Z1" not in str(told)


@pytest.mark.parametrize("stage", [QUICK], indirect=True)
async def test_a_lost_message_does_not_leave_a_connection_open(stage: Any, transport: str) -> None:
    """Pub/sub lost the event; the next look at the journal finds it."""
    url, writer, _, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([barring(events=[DELETED])])
        assert await client.end() == 3507


async def test_a_cut_pubsub_connection_does_not_leave_a_connection_open(stage: Any, transport: str) -> None:
    """After each reconnect everybody is looked at."""
    url, writer, redis, _ = stage
    async with await connect(url, transport) as client:
        await client.frame()
        async with lost_messages(writer):
            await writer.commit([barring(events=[DELETED])])
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await client.end() == 3507


async def test_a_mailbox_that_is_forgotten_begins_anew(stage: Any, transport: str) -> None:
    """Still enabled: the connection stays and is told to throw away what it has."""
    url, writer, _, _ = stage
    async with await connect(url, transport) as client:
        old = (await client.frame()).data["data"]["position"]
        await writer.commit([mail("Z1", 4)])
        await client.events(1)
        await writer.commit([Forget(BOB), Advance(None, None, events=[DELETED])])
        data = (await client.until("exmail.snapshot")).data["data"]
        assert (data["resumed"], data["reason"], data["unread"], data["recent"]) == (False, "epoch", None, [])
        assert data["position"].partition("-")[0] != old.partition("-")[0]


@pytest.mark.parametrize(
    ("stage", "told"), [(QUICK, False), (NO_SWEEP, True)], ids=["by the sweep", "by the event"], indirect=["stage"]
)
async def test_an_address_that_becomes_a_slave_comes_back_to_its_account(
    stage: Any, transport: str, told: bool
) -> None:
    """Its own stream is fed no more, and whoever held it may be another person: come back with a fresh credential."""
    url, writer, _, _ = stage
    async with await connect(url, transport, SLAVE) as client:
        assert (await client.frame()).data["data"]["mailbox"] == SLAVE
        event = member_event(USER_UPDATED, profile={"alias": BOB, "slaves": [SLAVE]})
        await writer.commit([Advance(None, None, slaves={SLAVE: BOB}, events=[event] if told else [])])
        assert await client.end() == 3009
    async with await connect(url, transport, SLAVE) as client:
        assert (await client.frame()).data["data"]["mailbox"] == BOB
