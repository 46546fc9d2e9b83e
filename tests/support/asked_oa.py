"""An OA that says whose session its cookies are, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class AskedOa:
    """Answers ``/whoami`` and all below it.

    ``said``: what it says by the text of the ``Cookie`` header; about others it says 401. ``answer`` replaces
    everything that it says. ``asked``: the cookies of each question, ``paths``: what was asked for. ``gate`` holds
    answers back; ``most_open``: how many were held at one time.
    """

    def __init__(self, url: str = "") -> None:
        self.said: dict[str, Any] = {}
        self.answer: tuple[int, bytes, dict[str, str]] | None = None
        self.asked: list[str] = []
        self.paths: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.most_open = 0
        self._open = 0
        self.url = url

    async def whoami(self, request: web.Request) -> web.StreamResponse:
        cookies = "; ".join(request.headers.getall("Cookie", []))
        self.asked.append(cookies)
        self.paths.append(request.path)
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            await self.gate.wait()
        finally:
            self._open -= 1
        if self.answer is not None:
            status, body, headers = self.answer
            return web.Response(status=status, body=body, headers=headers)
        said = self.said.get(cookies)
        response = web.Response(status=401) if said is None else web.json_response(said)
        response.set_cookie("sid", "of the last one who asked")
        return response


@asynccontextmanager
async def asked_oa() -> AsyncIterator[AskedOa]:
    """Serve it on a free port."""
    oa = AskedOa()
    app = web.Application()
    app.router.add_get("/whoami{rest:.*}", oa.whoami)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    oa.url = f"http://127.0.0.1:{runner.addresses[0][1]}/whoami"
    try:
        yield oa
    finally:
        oa.gate.set()
        await runner.cleanup()
