"""The nginx file that comes with the bridge: both transports pass, and an EventSource survives a restart of the edge.

A real nginx with ``deploy/proxy/nginx.conf``, only ports and folders changed, and a real Chromium.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page
from redis.asyncio import Redis

from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.chromium import blank_page
from tests.support.clicks import signon_alone
from tests.support.nginx import running_nginx
from tests.support.processes import free_port
from tests.support.stage import KEYS, bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import until
from tests.support.workers import simulating

PAGE = """<!doctype html><title>OA</title><script>
  window.seen = [];
  window.source = new EventSource('/exmail/events');
  window.source.onmessage = (message) => window.seen.push(JSON.parse(message.data));
</script>"""

CLIENT_PAGE = """<!doctype html><title>OA</title><script src="/exmail/client.js"></script><script>
  Math.random = () => 0;
  window.seen = [];
  window.mail = ExmailBridge.connect({ shared: false });
  mail.on('state', (state, detail) => seen.push({ state, ...detail }));
  mail.on('mail', (data) => seen.push({ mail: data.mail_id }));
</script>"""


@dataclass(frozen=True)
class Proxy:
    url: str
    edge_port: int
    signon_port: int
    log: Path


@pytest.fixture
async def proxy(require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Proxy]:
    """nginx in front of ``edge_port``, where a test may or may not run an edge."""
    nginx = require_binary("nginx")
    port, edge_port, signon_port = free_port(), free_port(), free_port()
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "client.html").write_text(CLIENT_PAGE)
    served = running_nginx(
        nginx, tmp_path, port=port, edges=[f"127.0.0.1:{edge_port}"], signon=signon_port, pages=tmp_path
    )
    async with served as log:
        yield Proxy(f"http://127.0.0.1:{port}", edge_port, signon_port, log)


@asynccontextmanager
async def edge_behind(proxy: Proxy, redis_url: str) -> AsyncIterator[None]:
    listen = f"127.0.0.1:{proxy.edge_port}"
    public = f"{proxy.url}/exmail/"
    async with running_edge(redis_url, BRIDGE_EDGE_LISTEN=listen, BRIDGE_EDGE_PUBLIC_URL=public):
        yield


@pytest.fixture
async def page(proxy: Proxy, require_binary: Callable[[str], str]) -> AsyncIterator[Page]:
    """A page of the OA whose cookie holds Bob's token."""
    async with blank_page(require_binary("chromium")) as page:
        await page.context.add_cookies(
            [{"name": "exmail_bridge", "value": token(), "url": proxy.url, "httpOnly": True, "sameSite": "Lax"}]
        )
        yield page


def saw(page: Page, condition: str) -> Awaitable[Any]:
    """Wait until what the page has seen fulfils a condition."""
    return page.wait_for_function(f"() => {{ const seen = window.seen; return {condition}; }}")


async def test_an_event_source_survives_a_restart_of_the_edge(proxy: Proxy, page: Page, redis_url: str):
    """While the edge is away nginx answers 200 with retry; the browser returns by itself, and nothing is missing."""
    async with leading_writer(redis_url) as (writer, _):
        async with edge_behind(proxy, redis_url):
            await page.goto(f"{proxy.url}/page.html")
            await saw(page, "seen.some((frame) => frame.type === 'exmail.snapshot')")
            await writer.commit([mail("before")])
            await saw(page, "seen.some((frame) => frame.type === 'exmail.mail.new')")
        await saw(page, "seen.some((frame) => frame.type === 'exmail.closing' && frame.data.code === 3013)")
        await writer.commit([mail("meanwhile", 2)])
        async with edge_behind(proxy, redis_url):
            await saw(page, "seen.filter((frame) => frame.type === 'exmail.mail.new').length >= 2")
            await writer.commit([mail("after", 3)])
            await saw(page, "seen.filter((frame) => frame.type === 'exmail.mail.new').length >= 3")
            seen = await page.evaluate("window.seen")
    mails = [frame["data"]["mail_id"] for frame in seen if frame["type"] == "exmail.mail.new"]
    assert mails == ["before", "meanwhile", "after"]
    snapshots = [frame["data"]["resumed"] for frame in seen if frame["type"] == "exmail.snapshot"]
    assert snapshots == [False, True]


async def test_an_event_source_that_starts_while_the_edge_is_away_comes_in_later(
    proxy: Proxy, page: Page, redis_url: str
):
    """A page that is opened during the restart is not lost either."""
    await page.goto(f"{proxy.url}/page.html")
    await saw(page, "seen.some((frame) => frame.type === 'exmail.closing')")
    async with edge_behind(proxy, redis_url):
        await saw(page, "seen.some((frame) => frame.type === 'exmail.snapshot')")


async def test_the_away_page_keeps_nobody_from_websocket(proxy: Proxy, page: Page, redis_url: str):
    """``client.js`` tries event streams too while the edge is away; 3013 there is no reason to stay with them."""
    async with leading_writer(redis_url) as (writer, _):
        async with edge_behind(proxy, redis_url):
            await page.goto(f"{proxy.url}/client.html")
            await saw(page, "seen.some((each) => each.state === 'open' && each.transport === 'websocket')")
        await saw(
            page, "seen.some((each) => each.state === 'waiting' && each.code === 3013 && each.transport === 'sse')"
        )
        await writer.commit([mail("meanwhile", 2)])
        async with edge_behind(proxy, redis_url):
            await saw(page, "seen.some((each) => each.mail === 'meanwhile')")
            # In the rare case that the edge came back between its two tries, by the WebSocket beside the stream.
            await page.wait_for_function("mail.transport === 'websocket' && mail.state === 'open'")


async def test_both_transports_pass_unbuffered(proxy: Proxy, redis_url: str):
    """Each frame comes through as it is written, below the public path; the edge sees the Host that the browser saw."""
    names = {"Host": "oa.test:8443", "Origin": "https://oa.test:8443"}
    async with leading_writer(redis_url) as (writer, _), edge_behind(proxy, redis_url):
        for open_client, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
            async with await open_client(proxy.url, path, **names, **bearer()) as client:
                await client.until("exmail.snapshot")
                await writer.commit([mail(path)])
                [event] = await client.events(1)
                assert event["data"]["mail_id"] == path


async def test_the_away_page_is_for_event_streams_only(proxy: Proxy):
    """Everything else sees that the edge is away; the stream's answer may be read by a page of any origin."""
    async with await open_sse(proxy.url, "/exmail/events", Origin="https://oa.corp.com") as away:
        assert away.headers["content-type"] == "text/event-stream"
        assert away.headers["access-control-allow-origin"] == "https://oa.corp.com"
        assert (await away.frame()).data["data"]["code"] == 3013
        assert away.retry_ms in range(2000, 5001)
        assert away.empty_blocks == 0
    with pytest.raises(HandshakeRefused) as refused:
        await open_sse(proxy.url, "/exmail/unread")
    assert refused.value.status == 502


async def test_no_ticket_reaches_the_access_log(proxy: Proxy, redis_url: str):
    """A ticket stands in the URL, so the log holds no query."""
    async with edge_behind(proxy, redis_url), await open_sse(proxy.url, "/exmail/events?ticket=hush") as client:
        assert (await client.frame()).data["data"]["code"] == 3009
    await until(lambda: "/exmail/events" in proxy.log.read_text())
    assert not re.search(r"hush|ticket|\?", proxy.log.read_text())


async def test_clicks_go_to_the_process_of_their_own(proxy: Proxy, redis_url: str):
    """``/mail/open`` does not reach the edge; the client's address and the public Host do reach sign-on."""
    names = {"Host": "oa.test:8443", "Origin": "https://oa.test:8443", "X-Forwarded-For": "203.0.113.9"}
    environ = {
        "BRIDGE_EDGE_PUBLIC_URL": f"{proxy.url}/exmail/",
        "BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{proxy.signon_port}",
    }
    async with (
        simulating() as simulator,
        signon_alone(redis_url, simulator, **environ),
        aiohttp.ClientSession() as session,
        session.get(f"{proxy.url}/exmail/mail/open", headers=bearer() | names, allow_redirects=False) as answer,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):
        assert answer.status == 302
        assert answer.headers["Location"].startswith(f"{simulator.url}/cgi-bin/login?")
        [(_, entry)] = await redis.xrange(KEYS.audit)
        # The test's own machine, loopback, is a trusted proxy too.
        assert entry["address"] == "203.0.113.9"
    assert "ticket=" not in proxy.log.read_text()
