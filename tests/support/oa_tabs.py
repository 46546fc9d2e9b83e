"""An OA's pages in one browser that share a connection, before a real edge: what each tab was told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Frame, Page
from redis.asyncio import Redis

from bridge.edge.pace import Pace
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from tests.support.stage import BOB, bearer, leading_writer, running_edge, token
from tests.support.waiting import until
from tests.support.workers import sample

PAGE = """<!doctype html><title>OA</title><b id=unread></b><script src=/exmail/client.js></script>
<script>
  window.told = [];
  window.begin = (options) => {
    window.mail = ExmailBridge.connect({ badge: '#unread', ...options });
    mail.on('mail', (data) => told.push(data.mail_id));
    mail.on('snapshot', (data) => {
      told.push(`${data.mailbox} ${data.resumed}`);
      if (!data.resumed) data.recent.forEach((event) => told.push(`recent ${event.data.mail_id}`));
    });
    mail.on('withdrawn', (data) => told.push(`withdrawn ${data.mailbox} ${data.code}`));
    mail.on('state', (state, detail) => told.push(detail.code ? `${state} ${detail.code}` : state));
    return mail;
  };
  begin(window.options || {});
</script>"""
FRAMES = "<!doctype html><title>OA</title><frameset cols='50%,50%'><frame src=/oa.html><frame src=/oa.html></frameset>"
PAGES = {
    "oa.html": PAGE,
    "iframe.html": "<!doctype html><title>OA</title><iframe src=/oa.html></iframe>",
    "frameset.html": FRAMES,
}


@dataclass
class Oa:
    """``url``: where pages and edge are, for this browser. ``redis``: what the edge reads."""

    url: str
    metrics: Metrics
    writer: Writer
    redis: Redis
    context: BrowserContext

    async def sign_in(self, mailbox: str = BOB, **claims: Any) -> None:
        """What the OA does when somebody signs in; without claims the session has a ``sid``."""
        signed = token(mailbox, **(claims or {"sid": f"of {mailbox}"}))
        cookie = {"name": "exmail_bridge", "value": signed, "url": self.url, "httpOnly": True}
        await self.context.add_cookies([cookie])  # type: ignore[list-item]  # as it documents

    async def tab(self, path: str = "/oa.html", *, options: str = "{}") -> Page:
        """A new tab whose page has begun; it may yet be without a connection."""
        page = await self.context.new_page()
        await page.add_init_script(f"window.options = {options}")
        await page.goto(self.url + path)
        return page

    def connects(self) -> float:
        """How many connections the edge has had."""
        return self._sum("edge_connects_total")

    def open(self) -> float:
        """How many it has now."""
        return self._sum("edge_connections")

    def _sum(self, name: str) -> float:
        return sum(sample(self.metrics, name, transport=each) for each in ("websocket", "sse"))


def write_pages(folder: Path) -> None:
    """As files, for a server of the OA's own: what an edge serves may not be framed."""
    for name, html in PAGES.items():
        (folder / name).write_text(html)


def add_page(app: web.Application) -> None:
    """The plain page on the edge's own port."""

    async def show(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app.router.add_get("/oa.html", show)


@asynccontextmanager
async def running_oa(
    redis_url: str, context: BrowserContext, url: str, *, port: int, pace: Pace | None = None, **environ: str
) -> AsyncIterator[Oa]:
    """An edge on ``port`` that browsers reach below ``/exmail/`` of ``url``."""
    public = {"BRIDGE_EDGE_LISTEN": f"127.0.0.1:{port}", "BRIDGE_EDGE_PUBLIC_URL": f"{url}/exmail/"}
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, pace, add_routes=add_page, **public, **environ) as (_, metrics),
    ):
        yield Oa(url, metrics, writer, redis, context)


async def told(frame: Page | Frame) -> list[str]:
    """Everything that a page was told, in order."""
    found: list[str] = await frame.evaluate("told")
    return found


async def stands_at(frame: Page | Frame, mail_id: str) -> None:
    """Wait until the page was told of a mail, as new or as recent."""

    async def holds() -> bool:
        return any(each.endswith(mail_id) for each in await told(frame))

    await until(holds)


async def is_open(frame: Page | Frame) -> None:
    """Wait until it has a connection, its own or the shared one."""

    async def holds() -> bool:
        return bool(await frame.evaluate("Boolean(window.mail) && mail.state === 'open'"))

    await until(holds)


async def until_told(frame: Page | Frame, what: str) -> None:
    """Wait until the page was told exactly this."""

    async def holds() -> bool:
        return what in await told(frame)

    await until(holds)


async def end_worker(browser: Browser) -> None:
    """What a browser does to a worker when memory is short."""
    session = await browser.new_browser_cdp_session()
    targets = (await session.send("Target.getTargets"))["targetInfos"]
    ended = [each["targetId"] for each in targets if each["type"] == "shared_worker"]
    assert ended
    for each in ended:
        await session.send("Target.closeTarget", {"targetId": each})
    await session.detach()


async def with_tickets(
    oa: Oa, page: Page, *, session: str | None = None, options: str = "", **claims: Any
) -> list[str]:
    """Begin in a page whose OA makes tickets for Bob; return those that it was asked for."""
    given: list[str] = []

    async def make() -> dict[str, str]:
        headers = bearer(sid="s", **claims)
        async with aiohttp.ClientSession() as client, client.post(f"{oa.url}/exmail/ticket", headers=headers) as answer:
            made: dict[str, str] = await answer.json()
        return made

    async def ticket() -> str:
        given.append((await make())["ticket"])
        return given[-1]

    await page.expose_function("oaTicket", ticket)
    named = session or (await make())["session"]
    await page.evaluate(
        f"mail.close(); told = []; begin({{ ticket: () => oaTicket(), session: '{named}', {options} }})"
    )
    return given
