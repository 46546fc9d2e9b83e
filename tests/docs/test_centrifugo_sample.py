"""``docs/samples/centrifugo.py``: what the worker stored reaches a Centrifugo, each event once and in order.

The very file runs as a program, as the user ``reader``, against an HTTP API that answers as Centrifugo's does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.events import LEADER_CHANGED, SYSTEM, build_event
from bridge.journal.calls import Announce
from tests.docs.pages import ROOT
from tests.support.guarded import Guarded
from tests.support.redis_proxy import RedisProxy, redis_proxy
from tests.support.stage import BOB, KEYS, leading_writer, mail
from tests.support.waiting import PATIENCE_S, until

SAMPLES = ROOT / "docs" / "samples"
KEY = "a key of Centrifugo's"
CUT = 0


class Centrifugo:
    """Its HTTP API, as far as publishing goes. ``answers``: what it says instead of taking the next ones."""

    def __init__(self) -> None:
        self.url = ""
        self.published: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self._keys: set[str] = set()

    async def publish(self, request: web.Request) -> web.Response:
        if request.headers.get("X-API-Key") != KEY:
            return web.Response(status=401)
        asked = await request.json()
        if self.answers:
            status, body = self.answers.pop(0)
            if status == CUT:
                return await self._cut(request)
            return web.json_response(body, status=status)
        if asked["idempotency_key"] not in self._keys:
            self._keys.add(asked["idempotency_key"])
            self.published.append(asked)
        return web.json_response({"result": {"offset": len(self.published), "epoch": "x"}})

    async def _cut(self, request: web.Request) -> web.Response:
        """Half an answer, and the end of the connection."""
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        request.transport.close()
        return web.Response()

    @property
    def mails(self) -> list[tuple[str, str]]:
        return [(each["channel"], each["data"]["data"]["mail_id"]) for each in self.published]


@pytest.fixture
async def centrifugo() -> AsyncIterator[Centrifugo]:
    centrifugo = Centrifugo()
    app = web.Application()
    app.router.add_post("/api/publish", centrifugo.publish)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    centrifugo.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    yield centrifugo
    await runner.cleanup()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    (tmp_path / "server").mkdir()
    with Guarded(tmp_path / "server") as guarded:
        yield guarded
        assert guarded.refusals() == []


@pytest.fixture
async def way(guarded: Guarded) -> AsyncIterator[RedisProxy]:
    async with redis_proxy(guarded.server.url) as way:
        yield way


def as_user(user: str, url: str) -> str:
    return url.replace("://", f"://{user}:password%20of%20{user}@")


@asynccontextmanager
async def running(file: str, *words: str, way: RedisProxy, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SAMPLES / file), *words),
        env={"REDIS_URL": as_user("reader", way.url), **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def created(way: RedisProxy) -> None:
    async with running("group.py", "create", way=way) as process:
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


def relaying(way: RedisProxy, centrifugo: Centrifugo, key: str = KEY) -> Any:
    return running("centrifugo.py", "relay-1", way=way, CENTRIFUGO_URL=centrifugo.url, CENTRIFUGO_KEY=key)


async def pending(redis: Any) -> int:
    return int((await redis.xpending(KEYS.events, "workflow"))["pending"])


async def test_each_mailbox_event_is_published_once_and_in_order(
    guarded: Guarded, way: RedisProxy, centrifugo: Centrifugo
) -> None:
    """On the mailbox's channel, whole; what is nobody's mail is not. One that is away or busy gets it later."""
    async with leading_writer(as_user("admin", guarded.server.url)) as (writer, redis):
        await created(way)
        leader = build_event(namespace="exmail", stream=SYSTEM, type=LEADER_CHANGED, time_s=1, data={"fence": 1})
        await writer.commit([mail("Z1"), Announce(leader), mail("Z2", mailbox="ann@gzdev.com")])
        centrifugo.answers = [
            (503, {}),
            (429, {}),
            (CUT, None),
            (200, ["somebody else's answer"]),
            (200, {}),
            (200, {"error": "upstream is away"}),
            (200, {"error": {"text": "away"}}),
            (200, {"error": {"code": 100, "message": "internal server error"}}),
        ]
        async with relaying(way, centrifugo):
            await until(lambda: len(centrifugo.published) == 2)
            await writer.commit([mail("Z3")])
            await until(lambda: len(centrifugo.published) == 3)

            async def all_done() -> bool:
                return await pending(redis) == 0

            await until(all_done)
    assert centrifugo.mails == [(f"mailbox:{BOB}", "Z1"), ("mailbox:ann@gzdev.com", "Z2"), (f"mailbox:{BOB}", "Z3")]
    assert centrifugo.published[0]["data"]["type"] == "exmail.mail.new"


async def test_what_is_never_taken_is_said_and_passed_over(
    guarded: Guarded, way: RedisProxy, centrifugo: Centrifugo
) -> None:
    """One event that Centrifugo calls a bad request does not hold up the others."""
    async with leading_writer(as_user("admin", guarded.server.url)) as (writer, _):
        await created(way)
        await writer.commit([mail("Z1"), mail("Z2")])
        centrifugo.answers = [(200, {"error": {"code": 107, "message": "bad request"}})]
        async with relaying(way, centrifugo) as process:
            await until(lambda: len(centrifugo.published) == 1)
            line = await asyncio.wait_for(process.stderr.readline(), PATIENCE_S)
    assert centrifugo.mails == [(f"mailbox:{BOB}", "Z2")]
    assert b"events may be missing: Centrifugo does not take" in line


async def test_a_wrong_key_ends_it_and_loses_nothing(guarded: Guarded, way: RedisProxy, centrifugo: Centrifugo) -> None:
    """What it was about to publish stays with the group."""
    async with leading_writer(as_user("admin", guarded.server.url)) as (writer, redis):
        await created(way)
        await writer.commit([mail("Z1")])
        async with relaying(way, centrifugo, "another") as process:
            _, said = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        assert process.returncode == 1
        assert b"Centrifugo refuses: " in said
        assert await pending(redis) == 1
