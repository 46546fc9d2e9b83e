"""A stage for tests of sign-on: a simulated provider, an edge in front of it, and a browser that clicks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import aiohttp

from bridge.app.signon import serve_signon
from bridge.obs.metrics import Metrics
from bridge.settings import load_settings, require_for
from bridge.simulator import Simulator
from tests.support.stage import SECRET, running_edge, token
from tests.support.waiting import PATIENCE_S

HTML = {"Accept": "text/html,application/xhtml+xml"}
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


def credentials(simulator: Simulator, **environ: str) -> dict[str, str]:
    """The settings of a process that may ask this provider."""
    return {
        "BRIDGE_PROVIDER_API_URL": simulator.url,
        "BRIDGE_PROVIDER_AUTH_URL": simulator.url,
        "BRIDGE_PROVIDER_CLIENT_ID": simulator.world.client_id,
        "BRIDGE_PROVIDER_CLIENT_SECRET": simulator.world.client_secret,
        **environ,
    }


class Read(HTMLParser):
    """What a person would see of a page: its language, the facts on ``main``, text, links by id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lang = ""
        self.facts: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.lang = found["lang"]
        elif tag == "main":
            self.facts = found
        elif tag == "a":
            self.links[found.get("id", "")] = found["href"]

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def page(self) -> Read:
        assert self.headers["content-type"].startswith("text/html"), self
        return Read(self.body)

    @property
    def location(self) -> str:
        return self.headers["location"]


class Browser:
    """Clicks; by default with Bob's cookie, as a navigation."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def get(self, url: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for any address, and follow nothing."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, url, headers=sent, allow_redirects=False) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, found, await response.text())

    async def click(self, query: str = "", *, mailbox: str = "bob@gzdev.com", **headers: str) -> Answer:
        """Click with a cookie for a mailbox."""
        return await self.get(f"{self.url}/mail/open{query}", **{"Cookie": f"exmail_bridge={token(mailbox)}"} | headers)

    async def ticket(self, mailbox: str = "bob@gzdev.com", **claims: Any) -> str:
        headers = {"Authorization": f"Bearer {token(mailbox, **claims)}"}
        async with self._session.post(f"{self.url}/ticket", headers=headers) as response:
            ticket: str = (await response.json())["ticket"]
            return ticket


@dataclass(frozen=True)
class Stage:
    """An edge that serves clicks, its provider and its metrics."""

    browser: Browser
    simulator: Simulator
    metrics: Metrics

    def clicks(self, result: str) -> float:
        """How many clicks ended so."""
        return self.metrics.registry.get_sample_value("exmail_bridge_signon_clicks_total", {"result": result}) or 0

    @property
    def keys(self) -> int:
        """How many keys the provider was asked for."""
        return self.simulator.calls.count("mail/authkey")


@asynccontextmanager
async def clicking(redis_url: str, simulator: Simulator, **environ: str) -> AsyncIterator[Stage]:
    """An edge that serves clicks, and a browser before it."""
    async with (
        running_edge(redis_url, **credentials(simulator, **environ)) as (url, metrics),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        yield Stage(Browser(session, url), simulator, metrics)


@asynccontextmanager
async def signon_alone(redis_url: str, simulator: Simulator, **environ: str) -> AsyncIterator[str]:
    """Sign-on as it runs beside an edge, in this process; its URL."""
    settings = load_settings(
        {
            "BRIDGE_REDIS_URL": redis_url,
            "BRIDGE_EDGE_JWT_SECRET": SECRET,
            "BRIDGE_SIGNON_LISTEN": "127.0.0.1:0",
            **credentials(simulator, **environ),
        }
    )
    require_for(settings, "signon")
    stop = asyncio.Event()
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    metrics = Metrics(worker=False, edge=False, signon=True)
    task = asyncio.create_task(
        serve_signon(settings, metrics, stop, admin=False, ready=serving.set_result), name="signon"
    )
    await asyncio.wait([task, serving], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield serving.result()
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)
