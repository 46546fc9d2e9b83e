"""``docs/samples/oa.mjs``: the example OA, with the published Express, behind the bridge's nginx file."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bridge.obs.metrics import Metrics
from tests.deploy.programs import accepts, running
from tests.docs.pages import ROOT
from tests.support.chromium import blank_page
from tests.support.nginx import running_nginx
from tests.support.npm import install
from tests.support.processes import free_port
from tests.support.stage import BOB, SECRET, leading_writer, mail, running_edge
from tests.support.waiting import until
from tests.support.workers import sample

SAMPLE = ROOT / "docs" / "samples" / "oa.mjs"
EXPRESS = "express@5.3.0"


@dataclass(frozen=True)
class Oa:
    """Where browsers find it, and where its proxy finds an edge."""

    url: str
    edge_port: int

    @property
    def environ(self) -> dict[str, str]:
        return {
            "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{self.edge_port}",
            "BRIDGE_EDGE_PUBLIC_URL": f"{self.url}/exmail/",
        }


@pytest.fixture
async def oa(require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Oa]:
    shutil.copy(SAMPLE, tmp_path)
    (tmp_path / "package.json").write_text('{"private": true}')
    install(require_binary("npm"), tmp_path, EXPRESS)
    port, oa_port, edge_port = free_port(), free_port(), free_port()
    pages = f"location / {{ proxy_pass http://127.0.0.1:{oa_port}; proxy_set_header X-Forwarded-Proto $scheme; }}"
    before = {"location @exmail_away {": f"{pages} location @exmail_away {{"}
    edges = [f"127.0.0.1:{edge_port}"]
    node = (require_binary("node"), str(tmp_path / "oa.mjs"))
    async with (
        running(*node, log=tmp_path / "oa.log", SECRET=SECRET, PORT=str(oa_port)),
        running_nginx(require_binary("nginx"), tmp_path, port=port, edges=edges, changed=before),
    ):
        await until(lambda: accepts(oa_port))
        yield Oa(f"http://localhost:{port}", edge_port)


@pytest.fixture
async def tab(require_binary: Callable[[str], str]) -> AsyncIterator[Page]:
    async with blank_page(require_binary("chromium")) as page:
        yield page


def connections(metrics: Metrics) -> float:
    return sum(sample(metrics, "edge_connections", transport=each) for each in ("websocket", "sse"))


async def test_it_shows_a_badge_from_signing_in_to_signing_out(oa: Oa, tab: Page, redis_url: str) -> None:
    """Nothing is missed over a restart of the edge; signing out ends the connection, and no more cookies are given."""
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail("first", subject="before he came")])
        async with running_edge(redis_url, **oa.environ):
            await tab.goto(oa.url)
            await tab.fill("input", BOB)
            await tab.click("button")
            await expect(tab.locator("#unread")).to_have_text("1")
            await expect(tab).to_have_title("(1) OA")
            assert await tab.evaluate("fetch('/renew', { method: 'POST' }).then((answer) => answer.status)") == 204
        await writer.commit([mail("second", 2, subject="<b>meanwhile</b>")])
        async with running_edge(redis_url, **oa.environ) as (_, metrics):
            await tab.evaluate("mail.reconnect()")
            await expect(tab.locator("#unread")).to_have_text("2")
            await expect(tab.locator("li")).to_have_text(["<b>meanwhile</b>", "before he came"])
            await until(lambda: connections(metrics) == 1)
            await tab.click("#out")
            await expect(tab.locator("input")).to_be_visible()
            await until(lambda: connections(metrics) == 0)
            assert await tab.evaluate("fetch('/renew', { method: 'POST' }).then((answer) => answer.status)") == 401
            assert await tab.evaluate("fetch('/exmail/unread').then((answer) => answer.status)") == 401
