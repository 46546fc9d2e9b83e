"""A page of another origin in a real Chromium, in which somebody is signed in: it gets nothing and does nothing.

Ports do not make a site: the cookie goes along with everything that this page asks, ``SameSite=Lax`` or not. Only
the check of the origin is between it and the mailbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import BrowserContext, Page
from redis.asyncio import Redis

from tests.support.stage import BOB, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import sample

ASK = """async edge => {
  const told = {};
  const until = (name, start) => new Promise(done => {
    const say = what => { told[name] = what; done(); };
    start(say);
  });
  const read = (name, path, options) => until(name, say =>
    fetch(edge + path, { credentials: 'include', ...options }).then(each => each.text()).then(say, () => say(null)));
  await Promise.all([
    until('websocket', say => {
      const socket = new WebSocket(edge.replace('http', 'ws') + '/ws');
      socket.onmessage = event => say(event.data);
      socket.onclose = () => say(null);
    }),
    until('sse', say => {
      const source = new EventSource(edge + '/events', { withCredentials: true });
      source.onmessage = event => { source.close(); say(event.data); };
      source.onerror = () => { source.close(); say(null); };
    }),
    read('unread', '/unread'),
    read('history', '/history'),
    read('ticket', '/ticket', { method: 'POST' }),
  ]);
  return told;
}"""
POST_A_FORM = """edge => {
  const form = document.body.appendChild(document.createElement('form'));
  Object.assign(form, { action: edge + '/ticket', method: 'post' });
  form.submit();
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def foreign() -> AsyncIterator[str]:
    """URL of a page on another port."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>evil</title><body></body>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asked_by(page: Page, context: BrowserContext, foreign: str, edge: str) -> dict[str, Any]:
    """What the page gets from each endpoint, in a browser that has Bob's cookie; ``None``: nothing."""
    await context.add_cookies(
        [{"name": "exmail_bridge", "value": token(), "url": edge, "httpOnly": True, "sameSite": "Lax"}]
    )
    await page.goto(foreign)
    return await asyncio.wait_for(page.evaluate(ASK, edge), PATIENCE_S)  # type: ignore[no-any-return]


async def tickets(redis: Redis) -> list[bytes]:
    return [key async for key in redis.scan_iter("*private:ticket*")]


async def test_it_reads_nothing_and_makes_no_ticket(
    page: Page, context: BrowserContext, foreign: str, redis_url: str
) -> None:
    """Not over WebSocket or an event stream, not by a question; a form that it posts has no effect."""
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url) as (edge, metrics):
        await writer.commit([mail("Z1", 7)])
        told = await asked_by(page, context, foreign, edge)
        assert set(told.values()) == {None}
        refused = sample(metrics, "edge_refusals_total", reason="origin")
        assert refused == len(told)
        async with page.expect_response(f"{edge}/ticket") as answer:
            await page.evaluate(POST_A_FORM, edge)
        assert (await answer.value).status == 403
        assert sample(metrics, "edge_refusals_total", reason="origin") == refused + 1
        assert await tickets(redis) == []


async def test_a_page_that_is_listed_reads_all_of_it(
    page: Page, context: BrowserContext, foreign: str, redis_url: str
) -> None:
    """The same page and cookie, with its origin in ``BRIDGE_EDGE_ALLOWED_ORIGINS``: what the other test would miss."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, BRIDGE_EDGE_ALLOWED_ORIGINS=foreign) as (edge, _),
    ):
        await writer.commit([mail("Z1", 7)])
        told = await asked_by(page, context, foreign, edge)
        assert None not in told.values()
        assert BOB in told["websocket"]
        assert BOB in told["sse"]
        assert len(await tickets(redis)) == 1


@pytest.mark.parametrize("path", ["/mail/open", "/unread"])
async def test_it_can_frame_nothing(
    page: Page, context: BrowserContext, foreign: str, redis_url: str, path: str
) -> None:
    """Nothing of ours is shown within it, so no click can be stolen."""
    async with leading_writer(redis_url), running_edge(redis_url) as (edge, _):
        await context.add_cookies([{"name": "exmail_bridge", "value": token(), "url": edge, "sameSite": "Lax"}])
        await page.goto(foreign)
        async with page.expect_response(f"{edge}{path}"):
            await page.evaluate(
                "url => { document.body.appendChild(document.createElement('iframe')).src = url; }", edge + path
            )
        [frame] = page.main_frame.child_frames
        await until(lambda: frame.url.startswith("chrome-error:"))
