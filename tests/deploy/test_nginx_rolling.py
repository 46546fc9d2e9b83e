"""Two edges behind the nginx files of the bridge: neither an update, edge after edge, nor a reload is an outage."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.nginx import running_nginx
from tests.support.processes import Program, edge_environ, free_port, program
from tests.support.rolling import mails
from tests.support.stage import ANN, BOB, bearer, leading_writer
from tests.support.waiting import until

CLIENTS = 160


class Page:
    """A page that comes back whenever its connection ends, from where it was, and notes what it is told."""

    def __init__(self, url: str, number: int) -> None:
        self.mailbox = (BOB, ANN)[number % 2]
        self.mails: list[str] = []
        self.is_open = False
        self.openings = self.began_anew = 0
        self._open: Any = (open_ws, open_sse)[number // 2 % 2]
        self._path = ("/exmail/ws", "/exmail/events")[number // 2 % 2]
        self._url = url
        self._position = ""

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(HandshakeRefused, EOFError, OSError, TimeoutError):
                await self._look_once()
            self.is_open = False
            # client.js and EventSource wait for longer; so this asks more of the proxy.
            await asyncio.sleep(random.uniform(0.1, 1))

    async def _look_once(self) -> None:
        after = f"?after={self._position}" if self._position else ""
        async with await self._open(self._url, self._path + after, **bearer(self.mailbox)) as client:
            while True:
                frame = (await client.frame()).data
                if frame["type"] == "exmail.snapshot":
                    self.began_anew += bool(after) and not frame["data"]["resumed"]
                    self._position = frame["data"]["position"]
                    self.is_open = True
                    self.openings += 1
                elif "id" in frame:
                    self._position = frame["id"]
                    self.mails.append(frame["data"]["mail_id"])


async def test_a_rolling_restart_is_no_outage(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """160 pages, mail flowing: each edge is restarted, then nginx reloaded; all are back, and none has missed one."""
    port, edges = free_port(), [free_port(), free_port()]
    url = f"http://127.0.0.1:{port}"
    told: dict[str, list[str]] = {BOB: [], ANN: []}
    pages = [Page(url, number) for number in range(CLIENTS)]
    async with AsyncExitStack() as stack:
        writer, _ = await stack.enter_async_context(leading_writer(redis_url))

        async def started(edge: int) -> Program:
            environ = edge_environ(redis_url, edge, BRIDGE_EDGE_PUBLIC_URL=f"{url}/exmail/")
            return await stack.enter_async_context(program("edge", environ=environ))

        programs = [await started(edge) for edge in edges]
        await asyncio.gather(*(each.ready() for each in programs))
        nginx = require_binary("nginx")
        await stack.enter_async_context(
            running_nginx(nginx, tmp_path, port=port, edges=[f"127.0.0.1:{edge}" for edge in edges], shutdown_s=1)
        )
        looking = [asyncio.create_task(page.look(), name="page") for page in pages]
        for task in looking:
            stack.callback(task.cancel)
        await until(lambda: all(page.is_open for page in pages))

        async with mails(writer, told, every_s=0.3):
            await until(lambda: all(page.mails for page in pages))
            for edge, running in zip(edges, programs, strict=True):
                assert await running.stop() == 0
                await (await started(edge)).ready()
            # Whoever is back has been told of what came meanwhile, and of what comes now.
            now = {mailbox: ids[-1] for mailbox, ids in told.items()}
            await until(lambda: all(now[page.mailbox] in page.mails for page in pages))
            await until(lambda: all(page.is_open for page in pages))
            # A reload ends what old workers hold, and the new ones let everybody in.
            before = [page.openings for page in pages]
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
            await until(lambda: all(page.openings > was for page, was in zip(pages, before, strict=True)))

        await until(lambda: all(page.mails[-1:] == told[page.mailbox][-1:] for page in pages))
        for page in pages:
            assert page.began_anew == 0
            assert page.mails == told[page.mailbox][-len(page.mails) :], "missed, twice or out of order"
