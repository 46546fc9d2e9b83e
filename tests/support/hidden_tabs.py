"""Tabs of a Chromium that may be hidden and frozen, over its DevTools protocol: playwright keeps every page visible."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import waiting


@dataclass
class Tab:
    """One tab: its ``target``, and the ``session`` in which it is spoken to."""

    chromium: HiddenTabs
    target: str
    session: str

    async def run(self, script: str) -> Any:
        """What an expression is, its promise awaited."""
        told = await self.chromium.call(
            "Runtime.evaluate", self.session, expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, claim: str) -> None:
        """Wait until a claim about the page holds."""

        async def holds() -> bool:
            return bool(await self.run(f"Boolean({claim})"))

        await waiting.until(holds)

    async def show(self) -> None:
        """Bring it to the front; the others are hidden."""
        await self.chromium.call("Target.activateTarget", targetId=self.target)

    async def become(self, state: str) -> None:
        """``frozen`` or ``active``, as the browser does to hidden tabs."""
        await self.chromium.call("Page.setWebLifecycleState", self.session, state=state)


class HiddenTabs:
    """The browser. Its calls go one after the other."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command; what it answers.

        Raises:
            AssertionError: the browser refuses it.
        """
        self._calls += 1
        await self._socket.send_json(
            {"id": self._calls, "method": method, "params": params, **({"sessionId": session} if session else {})}
        )
        async with asyncio.timeout(waiting.PATIENCE_S):
            while True:
                told = json.loads((await self._socket.receive()).data)
                if told.get("id") == self._calls:
                    assert "error" not in told, told
                    result: dict[str, Any] = told["result"]
                    return result

    async def tab(self, url: str, script: str) -> Tab:
        """A new tab, at the front; the script runs before what the page brings."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = Tab(self, target, session)
        await self.call("Page.enable", session)
        await self.call("Page.addScriptToEvaluateOnNewDocument", session, source=script)
        await self.call("Page.navigate", session, url=url)
        await tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab


@asynccontextmanager
async def hidden_tabs(program: str, folder: Path) -> AsyncIterator[HiddenTabs]:
    """A browser of its own until the block ends; ``folder`` holds its profile."""
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    process = await asyncio.create_subprocess_exec(
        *(program, *words, f"--user-data-dir={folder}"), stderr=asyncio.subprocess.DEVNULL
    )
    where = folder / "DevToolsActivePort"
    try:
        await waiting.until(lambda: where.exists() and len(where.read_text().split()) == 2)
        port, path = where.read_text().split()
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            tabs = HiddenTabs(socket)
            yield tabs
            await tabs.call("Browser.close")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
