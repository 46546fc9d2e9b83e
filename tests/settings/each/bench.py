"""Where each setting is tried: a real Redis, and whatever real parts its line speaks of."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bridge.app.parts import retention
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer
from bridge.settings import Settings, load_settings
from tests.support.stage import SECRET, running_edge

FILL = """
local fields = cjson.decode(ARGV[4])
for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], ARGV[2] .. i .. ARGV[3], unpack(fields)) end
"""

FREE = "FREE"
"""Stands for a port that is free when the effect is looked at: each process of a run names the tests alike."""


@dataclass
class Recorder:
    """An HTTP server that gives every caller what it may hope for, and keeps what it was asked."""

    url: str = ""
    paths: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    keys: list[dict[str, Any]] | None = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        if request.path.endswith("/token"):
            return web.json_response({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
        if request.path.endswith("/keys") and self.keys is not None:
            return web.json_response({"keys": self.keys})
        return web.json_response({"NewCount": 7}, status=500 if request.path.endswith("/keys") else 200)


@dataclass
class Bench:
    """``redis`` is a raw client of the empty server at ``redis_url``; what is started ends with ``stack``."""

    redis_url: str
    redis: Any
    folder: Path
    stack: AsyncExitStack

    def settings(self, **environ: str) -> Settings:
        return load_settings({"BRIDGE_REDIS_URL": self.redis_url} | environ)

    async def writer(self, settings: Settings) -> Writer:
        """A leader's, as a worker with these settings makes it."""
        lease_s = settings.worker.lease_s
        writer = Writer(
            self.redis, Keys(settings.namespace, settings.redis.sharded), lease_s=lease_s, retention=retention(settings)
        )
        assert await writer.claim() is not None
        return writer

    async def edge(self, **environ: str) -> str:
        url, _ = await self.stack.enter_async_context(running_edge(self.redis_url, **environ))
        return url

    async def status(self, url: str, **headers: str) -> int:
        """Of a GET."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with aiohttp.ClientSession() as session, session.get(url, headers=sent, allow_redirects=False) as answer:
            return answer.status

    async def recorder(self, tls: ssl.SSLContext | None = None) -> Recorder:
        return await self.stack.enter_async_context(recording(tls))

    async def fill(self, key: str, count: int, *fields: str, first: str = "", last: str = "-0") -> None:
        """Put so many entries into a stream; their ids are ``first``, a number that counts up, and ``last``."""
        await self.redis.eval(FILL, 1, key, count, first, last, json.dumps(fields))


@asynccontextmanager
async def recording(tls: ssl.SSLContext | None = None) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", recorder.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    recorder.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield recorder
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Row:
    """One setting. ``values``: the least, a middle one and the greatest, or what comes nearest to that where it is no
    number; ``see`` makes sure of the effect that the setting's line promises, with one of them."""

    values: Sequence[str]
    see: Callable[[Bench, str], Awaitable[None]]


def edge_secret(**environ: str) -> dict[str, str]:
    return {"BRIDGE_EDGE_JWT_SECRET": SECRET, **environ}
