"""A tab with ``/client.js`` in it, and what it was told: for tests against :mod:`tests.support.scripted_edge`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page

from tests.support import waiting
from tests.support.scripted_edge import Connection, ScriptedEdge

RECORD = """
  Math.random = () => 1;
  window.told = [];
  window.record = (mail) => {
    for (const name of ['mail', 'unread', 'missed', 'snapshot', 'upstream', 'event', 'heartbeat', 'state', 'stale',
      'withdrawn']) {
      mail.on(name, (...values) => told.push([name, ...values]));
    }
    return mail;
  };
  window.begin = (options) => {
    window.mail = record(ExmailBridge.connect(Object.assign({ shared: false }, options)));
  };
"""
"""Everything that the page is told, in order; back-off without chance, so that it can be read. Each connection is the
tab's own unless it says ``shared``."""


async def begin(tab: Page, edge: ScriptedEdge, options: str = "{}") -> Connection:
    """Connect, and take the connection."""
    await tab.evaluate(f"begin({options})")
    await tab.clock.run_for(1)
    return await edge.connection()


async def told(tab: Page, name: str) -> list[Any]:
    """First value of each call of the handlers of this name, in order."""
    values: list[Any] = await tab.evaluate("name => told.filter(each => each[0] === name).map(each => each[1])", name)
    return values


async def until(tab: Page, claim: str) -> None:
    """Wait until a claim about the page holds; the page's own clock stands still meanwhile."""

    async def holds() -> bool:
        return bool(await tab.evaluate(f"Boolean({claim})"))

    await waiting.until(holds)


@asynccontextmanager
async def frozen(tab: Page) -> AsyncIterator[None]:
    """Inside, the page runs nothing: no message, no timer, as where the browser has frozen a hidden tab.

    Stopped by the debugger, because playwright keeps every page visible, and no visible page is frozen.
    """
    session = await tab.context.new_cdp_session(tab)
    paused = asyncio.Event()
    session.on("Debugger.paused", lambda _: paused.set())
    await session.send("Debugger.enable")
    await session.send("Debugger.pause")
    running = asyncio.create_task(session.send("Runtime.evaluate", {"expression": "0"}))
    await asyncio.wait_for(paused.wait(), waiting.PATIENCE_S)
    yield
    await session.send("Debugger.resume")
    await running
    await session.send("Debugger.disable")
    await session.detach()


async def waits(tab: Page) -> float:
    """Wait until it waits; return for how many ms."""
    await until(tab, "mail.state === 'waiting'")
    return float(await tab.evaluate("told.filter(each => each[1] === 'waiting').pop()[2].retry_ms"))


async def come_back(tab: Page, edge: ScriptedEdge) -> Connection:
    """Wait until it waits, let as much of the page's time pass as it says, and take the next connection."""
    await tab.clock.run_for(await waits(tab))
    return await edge.connection()


async def in_time(tab: Page, edge: ScriptedEdge, step_ms: int) -> Connection:
    """Let the page's time pass until it opens a connection, and take that."""
    async with asyncio.timeout(waiting.PATIENCE_S):
        while edge.opened.empty():
            await tab.clock.run_for(step_ms)
    return await edge.connection()
