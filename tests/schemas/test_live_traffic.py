"""What really comes is what is declared: every event of a worker, every frame and answer of an edge."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import orjson
import pytest

from bridge.edge.frames import HEARTBEAT
from bridge.events import MAIL_NEW, SYSTEM, UPSTREAM_CONNECTED, build_event
from bridge.journal.calls import Advance, Announce
from bridge.journal.connect import RedisAddress
from bridge.journal.reports import Deafness, Reports
from bridge.schemas.events import EVENT_TYPES
from bridge.schemas.frames import FRAMES
from bridge.simulator import Cut, Kind, Simulator
from tests.support.browser_side import open_sse, open_ws
from tests.support.clicks import credentials
from tests.support.contracts import document, faults_of, faults_of_answer
from tests.support.stage import ANN, BOB, QUICK, bearer, count, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S
from tests.support.workers import KEYS, Told, running_worker, simulating

USERS = 20
FIELDS = "alias,name,gender,slaves,position,tel,mobile,ext_id,parties,open_type,status"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(USERS) as running:
        yield running


@pytest.fixture
async def told(redis_url: str) -> AsyncIterator[Told]:
    client = RedisAddress(redis_url).client()
    yield Told(client)
    await client.aclose()


class Heard:
    """Everything on the channels of the namespace, by channel, up to the end of the block."""

    _END = "exmail:private:end"

    def __init__(self, redis: Any) -> None:
        self.messages: dict[str, list[bytes]] = defaultdict(list)
        self._redis = redis
        self._bus = redis.pubsub()

    async def __aenter__(self) -> Heard:
        await self._bus.psubscribe("exmail:*")
        self._task = asyncio.create_task(self._read(), name="hear")
        return self

    async def _read(self) -> None:
        async for message in self._bus.listen():
            if message["channel"] == self._END.encode():
                return
            if message["type"] == "pmessage" and b":private:" not in message["channel"]:
                self.messages[message["channel"].decode()].append(message["data"])

    async def __aexit__(self, *_: object) -> None:
        # What was published before is read before.
        await self._redis.publish(self._END, b"")
        await asyncio.wait_for(self._task, PATIENCE_S)
        await self._bus.aclose()


def faults_in(messages: Iterable[dict[str, Any]]) -> list[str]:
    return [fault for message in messages for fault in faults_of(message)]


async def people_change(simulator: Simulator, told: Told) -> None:
    """One is hired, one moves, one leaves; and so many at once that an operator is asked."""
    world = simulator.world
    world.add_user("new@gzdev.com")
    await told.wait("directory.user.added")
    world.modify_user("new@gzdev.com", position="Chief", open_type=2)
    await told.wait("directory.user.updated")
    world.delete_user("new@gzdev.com")
    await told.wait("directory.user.deleted")
    for alias in [alias for alias in world.accounts if alias != BOB][-6:]:
        world.delete_user(alias)
    await told.wait("directory.held")


async def connection_breaks(simulator: Simulator, told: Told) -> None:
    """It is refused until it counts as doubtful, mails come meanwhile, and a rival takes it twice more."""
    world = simulator.world
    simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=10001)
    simulator.cut(Cut.RST)
    await told.wait("upstream.degraded")
    world.deliver_many(2, BOB)
    simulator.faults.clear()
    await told.wait("mail.missed")
    while not await told.data("upstream.conflict"):
        await simulator.listeners.wait_hearing()
        await asyncio.sleep(0.15)
        ended = len(await told.data("upstream.disconnected"))
        simulator.cut(Cut.FIN)
        await told.wait("upstream.disconnected", ended + 1)


async def test_everything_that_a_worker_publishes(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Each type comes at least once, as its schema says and nothing beside, on the channels of AsyncAPI."""
    async with (
        Heard(told.redis) as heard,
        running_worker(redis_url, simulator, BRIDGE_DIRECTORY_FIELDS=FIELDS, BRIDGE_PROVIDER_CONFLICT_PAUSE="120"),
    ):
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        await Reports(told.redis, KEYS).tell(Deafness("oa-1:77", 5, 9))
        simulator.world.deliver_mail(BOB)
        simulator.world.read(BOB)
        await told.wait_mails(2)
        await people_change(simulator, told)
        await connection_breaks(simulator, told)
        await told.wait("edge.deaf")
    events = await told.events()
    assert faults_in(events) == []
    assert {event["type"] for event in events} == set(EVENT_TYPES)
    channels = document("asyncapi.json")["channels"]
    for channel, messages in heard.messages.items():
        [carried] = [
            each["messages"]
            for each in channels.values()
            if each["address"].replace("{address}", channel.partition(":mailbox:")[2] or "?") == channel
        ]
        assert {orjson.loads(message)["type"] for message in messages} <= set(carried)
    published = {message for messages in heard.messages.values() for message in messages}
    assert published == {fields[b"event"] for _, fields in await told.redis.xrange(KEYS.events)}


async def test_every_frame_of_an_edge(redis_url: str) -> None:
    """Both transports: snapshots of each kind, events, a state, a heartbeat, a close."""
    frames: list[dict[str, Any]] = []
    event = build_event(namespace="exmail", stream=SYSTEM, type=UPSTREAM_CONNECTED, time_s=5, data={"since": 5})
    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url, QUICK) as (url, _):
        await writer.commit([mail("Z1"), count(2)])
        for open, path, state in ((open_ws, "/ws", "connected"), (open_sse, "/events", "degraded")):
            for after in ("", "?after=zzzzzzzz-1"):
                async with await open(url, f"{path}{after}", **bearer(sid="one", mailbox=BOB)) as client:
                    snapshot = await client.frame()
                    assert snapshot.data["data"]["recent"]
                    frames += [snapshot.data]
            async with await open(url, f"{path}?after={snapshot.data['data']['position']}", **bearer()) as client:
                resumed = await client.frame()
                assert resumed.data["data"]["resumed"]
                await writer.commit([mail(path)])
                frames += [resumed.data, *await client.events(1)]
                await writer.commit([Announce(event, {"state": state, "since": "5", "why": ""})])
                frames.append((await client.until("exmail.upstream")).data)
            several = bearer(mailboxes=[ANN])
            async with await open(url, f"{path}?mailbox=*", **several) as client:
                frames += [(await client.frame()).data, (await client.frame()).data]
                await writer.commit([Advance(None, None, barred=[ANN])])
                frames.append((await client.until("exmail.withdrawn")).data)
                await writer.commit([Advance(None, None, unbarred=[ANN])])
            async with await open(url, path, Authorization=f"Bearer {token(life_s=-600)}") as client:
                assert await client.end() == 3005
                frames += [frame.data for frame in client.frames]
    # The bytes that every connection is sent, without waiting 25 s for them.
    frames.append(orjson.loads(HEARTBEAT.payload))
    assert faults_in(frames) == []
    assert {*FRAMES, MAIL_NEW} <= {frame["type"] for frame in frames}


ASKED: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("GET", "/unread", 200, {}),
    ("GET", "/unread", 401, {"mailbox": None}),
    ("GET", "/unread?mailbox=eve@gzdev.com", 403, {}),
    ("GET", "/history", 200, {}),
    ("GET", "/history?limit=0", 400, {}),
    ("POST", "/ticket", 200, {}),
    ("POST", "/ticket", 401, {"expired": True}),
    ("GET", "/events", 401, {"mailbox": None}),
    ("GET", "/ws", 400, {}),
    ("GET", "/ws", 403, {"Origin": "https://evil.example"}),
    ("POST", "/kick", 403, {}),
    ("POST", "/kick", 204, {"scope": "kick", "body": {"mailbox": "ann@gzdev.com"}}),
    ("POST", "/kick", 400, {"scope": "kick", "body": {}}),
    ("GET", "/mail/open", 302, {"navigates": True}),
    ("GET", "/mail/open", 401, {"navigates": True, "mailbox": None}),
    ("GET", "/mail/open?mailid=%00", 400, {"navigates": True}),
    ("GET", "/client.js", 200, {}),
    ("GET", "/client.mjs", 200, {}),
    ("GET", "/client.d.ts", 200, {}),
    ("GET", "/client.worker.js", 200, {}),
    ("GET", "/openapi.json", 200, {}),
    ("GET", "/asyncapi.json", 200, {}),
    ("GET", "/schemas/exmail.mail.new.json", 200, {}),
    ("GET", "/schemas/exmail.mail.old.json", 404, {}),
    ("POST", "/logout", 204, {}),
    ("POST", "/logout", 401, {"mailbox": None}),
    ("GET", "/unread", 401, {}),
)
"""In this order: the sign-out ends the session. What is asked, the status, and who asks how."""


async def test_every_answer_of_an_edge(redis_url: str, simulator: Simulator) -> None:
    """Status, type and members are those of OpenAPI, of refusals too; each request that it names is made."""
    faults: list[str] = []
    environ = credentials(simulator)
    sid = f"session {time.time()}"
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, **environ) as (url, _),
        aiohttp.ClientSession() as session,
    ):
        await writer.commit([mail("Z1"), count(2)])
        for method, path, status, how in ASKED:
            mailbox = how.get("mailbox", BOB)
            claims = {"sid": sid} | ({"scope": how["scope"]} if "scope" in how else {})
            life_s = -600 if how.get("expired") else 600
            headers = {"Authorization": f"Bearer {token(mailbox, life_s=life_s, **claims)}"} if mailbox else {}
            headers |= {"Origin": how["Origin"]} if "Origin" in how else {}
            if how.get("navigates"):
                headers |= {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
            async with session.request(
                method, url + path, headers=headers, json=how.get("body"), allow_redirects=False
            ) as answer:
                assert answer.status == status, (method, path, await answer.text())
                bare = path.partition("?")[0]
                declared = "/schemas/{name}" if bare.startswith("/schemas/") else bare
                faults += faults_of_answer(declared, method, status, answer.content_type, await answer.read())
    assert faults == []
    declared_requests = {
        (method.upper(), path) for path, each in document("openapi.json")["paths"].items() for method in each
    }
    made = {(method, path.partition("?")[0]) for method, path, *_ in ASKED}
    assert {each for each in declared_requests if "{" not in each[1]} <= made


async def test_redis_away_is_declared_too(own_server: Any) -> None:
    """503 with its ``Retry-After``."""
    async with running_edge(own_server.url) as (url, _), aiohttp.ClientSession() as session:
        own_server.kill()
        for method, path in (("GET", "/unread"), ("GET", "/history"), ("POST", "/ticket"), ("GET", "/events")):
            async with session.request(method, url + path, headers=bearer()) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"].isdigit()
                assert faults_of_answer(path, method, 503, answer.content_type, await answer.read()) == []
