"""HAProxy and Caddy with the files that come with the bridge, before real edges; nginx has files of its own here."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from bridge.obs.metrics import Metrics
from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.certificates import make_authority
from tests.support.chromium import blank_page
from tests.support.clicks import signon_alone
from tests.support.processes import free_port
from tests.support.proxies import EDGES, PROXIES, Place, Running
from tests.support.stage import BOB, KEYS, bearer, leading_writer, mail, running_edge
from tests.support.waiting import until
from tests.support.workers import sample, simulating

HEADER = "X-Exmail-Mailbox"
BOTH = ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events"))


@dataclass
class Health:
    """What the edges say on ``/readyz``, and how often each was asked."""

    ready: set[str] = field(default_factory=lambda: set(EDGES))
    asked: Counter[str] = field(default_factory=Counter)

    async def answer(self, request: web.Request) -> web.Response:
        host = str(request.transport and request.transport.get_extra_info("sockname")[0])
        self.asked[host] += 1
        return web.Response(status=200 if host in self.ready else 503)

    async def is_known(self) -> None:
        """Return when the proxy has had time to draw its conclusions from what is said now."""
        before = dict(self.asked)
        await until(lambda: all(self.asked[host] > before.get(host, 0) + 3 for host in EDGES))


@dataclass
class Stage:
    """A proxy, and where it serves."""

    place: Place
    proxy: Running
    health: Health

    @property
    def url(self) -> str:
        return self.place.url

    @asynccontextmanager
    async def edge(self, redis_url: str, number: int = 0, **environ: str) -> AsyncIterator[Metrics]:
        """An edge where the proxy looks for its first, or another."""
        listen = {"BRIDGE_EDGE_LISTEN": self.place.edges[number], "BRIDGE_EDGE_PUBLIC_URL": f"{self.url}/exmail/"}
        async with running_edge(redis_url, **listen, **environ) as (_, metrics):
            yield metrics


@asynccontextmanager
async def staged(name: str, program: str, folder: Path, place: Place) -> AsyncIterator[Stage]:
    health = Health()
    app = web.Application()
    app.router.add_get("/readyz", health.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for host in EDGES:
            await web.TCPSite(runner, host, place.health_port).start()
        async with PROXIES[name](program, folder, place) as proxy:
            yield Stage(place, proxy, health)
    finally:
        await runner.cleanup()


@pytest.fixture(params=PROXIES)
async def stage(
    request: pytest.FixtureRequest, require_binary: Callable[[str], str], tmp_path: Path
) -> AsyncIterator[Stage]:
    """The proxy over plain HTTP; whether an edge runs is the test's affair."""
    place = Place(free_port(), free_port(), free_port(), signon_port=free_port())
    async with staged(request.param, require_binary(request.param), tmp_path, place) as made:
        yield made


def has(metrics: Metrics) -> float:
    """How many connections an edge has."""
    return sum(sample(metrics, "edge_connections", transport=each) for each in ("websocket", "sse"))


async def test_both_transports_pass_unbuffered(stage: Stage, redis_url: str) -> None:
    """Each frame comes through as it is written, below the public path; the edge sees the Host that the browser saw."""
    names = {"Host": "oa.test:8443", "Origin": "https://oa.test:8443"}
    async with leading_writer(redis_url) as (writer, _), stage.edge(redis_url):
        for opener, path in BOTH:
            async with await opener(stage.url, path, **names, **bearer()) as client:
                await client.until("exmail.snapshot")
                await writer.commit([mail(path)])
                [event] = await client.events(1)
                assert event["data"]["mail_id"] == path


async def test_a_page_that_is_gone_is_gone_at_the_edge(stage: Stage, redis_url: str) -> None:
    """At once, not with the next heartbeat; else tabs that nobody has any more fill the places of a mailbox."""
    async with stage.edge(redis_url) as metrics:
        for opener, path in BOTH:
            async with await opener(stage.url, path, **bearer()) as client:
                await client.until("exmail.snapshot")
                assert has(metrics) == 1
            await until(lambda: has(metrics) == 0)


async def test_a_browser_cannot_say_who_it_is(stage: Stage, redis_url: str) -> None:
    """What it sends under the header's name is taken away, on every path."""
    environ = {
        "BRIDGE_EDGE_JWT_SECRET": "",
        "BRIDGE_EDGE_AUTH_HEADER": HEADER,
        "BRIDGE_EDGE_TRUSTED_PROXIES": "loopback",
    }
    signon = {
        "BRIDGE_EDGE_PUBLIC_URL": f"{stage.url}/exmail/",
        "BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{stage.place.signon_port}",
    }
    async with (
        simulating() as simulator,
        stage.edge(redis_url, **environ),
        signon_alone(redis_url, simulator, **environ, **signon),
        aiohttp.ClientSession() as session,
    ):
        for path in ("unread", "history", "events", "mail/open"):
            for spelt in (HEADER, HEADER.lower()):
                async with session.get(f"{stage.url}/exmail/{path}", headers={spelt: BOB}) as answer:
                    assert answer.status == 401
        async with await open_ws(stage.url, "/exmail/ws", X_Exmail_Mailbox=BOB) as client:
            assert await client.end() == 3009


async def test_a_browser_cannot_say_where_it_is(stage: Stage, redis_url: str) -> None:
    """The proxy says it, and by that the click is recorded; the click reaches the process of its own."""
    environ = {
        "BRIDGE_EDGE_PUBLIC_URL": f"{stage.url}/exmail/",
        "BRIDGE_EDGE_TRUSTED_PROXIES": "127.0.0.1",
        "BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{stage.place.signon_port}",
    }
    claimed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "elsewhere.test", "Forwarded": "for=203.0.113.9"}
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.3", 0))
    async with (
        simulating() as simulator,
        signon_alone(redis_url, simulator, **environ),
        aiohttp.ClientSession(connector=connector) as session,
        session.get(
            f"{stage.url}/exmail/mail/open?mailid=hush", headers=bearer() | claimed, allow_redirects=False
        ) as answer,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):
        assert answer.status == 302
        assert answer.headers["Location"].startswith(f"{simulator.url}/cgi-bin/login?")
        [(_, entry)] = await redis.xrange(KEYS.audit)
        assert entry["address"] == "127.0.0.3"
    await until(lambda: "/exmail/mail/open" in stage.proxy.noted())
    assert not any(word in stage.proxy.noted() for word in ("hush", "ticket", "authkey", "Bearer"))


async def test_a_page_cannot_say_under_which_name_it_asks(stage: Stage, redis_url: str) -> None:
    """The edge compares its Origin with the Host that the proxy was asked for, and with no other name."""
    claimed = {"Origin": "http://elsewhere.test", "X-Forwarded-Host": "elsewhere.test"}
    async with stage.edge(redis_url):
        for opener, path in BOTH:
            with pytest.raises(HandshakeRefused) as refused:
                await opener(stage.url, path, **claimed, **bearer())
            assert refused.value.status == 403


async def test_no_ticket_reaches_the_access_log(stage: Stage, redis_url: str) -> None:
    """A ticket stands in the URL, so the log holds no query."""
    async with (
        stage.edge(redis_url),
        await open_sse(stage.url, "/exmail/events?ticket=hush", Referer="http://oa.test/?sid=hush") as client,
    ):
        assert (await client.frame()).data["data"]["code"] == 3009
    await until(lambda: "/exmail/events" in stage.proxy.noted())
    assert not any(word in stage.proxy.noted() for word in ("hush", "ticket", "?"))


async def test_where_no_edge_answers_event_streams_are_sent_back(stage: Stage) -> None:
    """An EventSource comes back only after 200; everything else sees that the edge is away."""
    async with await open_sse(stage.url, "/exmail/events", Origin="https://oa.corp.com") as away:
        assert away.headers["content-type"] == "text/event-stream"
        assert away.headers["access-control-allow-origin"] == "https://oa.corp.com"
        closing = (await away.frame()).data["data"]
        assert closing["code"] == 3013
        assert away.retry_ms == closing["retry_ms"]
        assert away.retry_ms in range(2000, 5001)
        assert away.empty_blocks == 0
    for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/unread"), (open_sse, "/exmail/mail/open")):
        with pytest.raises(HandshakeRefused) as refused:
            await opener(stage.url, path)
        assert refused.value.status in (502, 503)


async def test_what_an_edge_says_itself_is_left_as_it_is(stage: Stage, redis_url: str) -> None:
    """A 503 of the edge stays one, also where an event stream would be sent back."""
    async with stage.edge(redis_url, BRIDGE_EDGE_MAX_CONNECTIONS="1"), AsyncExitStack() as stack:
        await stack.enter_async_context(await open_ws(stage.url, "/exmail/ws", **bearer()))
        with pytest.raises(HandshakeRefused) as refused:
            await open_sse(stage.url, "/exmail/events", Accept="*/*", **bearer())
        assert refused.value.status == 503
        assert b'"error"' in refused.value.body


async def test_an_edge_that_is_not_ready_gets_nobody_new(stage: Stage, redis_url: str) -> None:
    """Whom it has it keeps: it sends them away itself."""
    async with stage.edge(redis_url, 0) as one, stage.edge(redis_url, 1) as other, AsyncExitStack() as stack:

        async def come(number: int) -> None:
            for _ in range(number):
                client = await open_sse(stage.url, "/exmail/events", **bearer())
                await stack.enter_async_context(client)
                await client.until("exmail.snapshot")

        await stage.health.is_known()
        await come(4)
        assert (has(one), has(other)) == (2, 2)
        stage.health.ready = {EDGES[0]}
        await stage.health.is_known()
        await come(4)
        assert (has(one), has(other)) == (6, 2)


async def test_where_no_edge_is_ready_they_are_asked_anyway(stage: Stage, redis_url: str) -> None:
    """As when Redis is away: pages still get the script, and a WebSocket is told in words to come later."""
    stage.health.ready = set()
    async with stage.edge(redis_url, 0), stage.edge(redis_url, 1), aiohttp.ClientSession() as session:
        await stage.health.is_known()
        async with session.get(f"{stage.url}/exmail/client.js") as answer:
            assert answer.status == 200
        async with await open_ws(stage.url, "/exmail/ws") as client:
            assert await client.end() == 3009


PAGE = """<!doctype html><title>OA</title><script>
  window.seen = 0;
  for (let number = 0; number < 8; number += 1) {
    new EventSource('/exmail/events').onmessage = () => { seen += 1; };
  }
  const socket = new WebSocket(`wss://${location.host}/exmail/ws`);
  socket.onmessage = () => { seen += 1; };
</script>"""


@pytest.mark.parametrize("name", PROXIES)
async def test_a_page_over_tls_has_more_streams_than_connections(
    name: str, require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """HTTP/2: eight event streams and a WebSocket of one page; over HTTP/1.1 a browser opens six of them."""
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    chain = make_authority(tmp_path).chain
    place = Place(free_port(), free_port(), free_port(), chain=chain, page=page)
    async with (
        staged(name, require_binary(name), tmp_path, place) as stage,
        stage.edge(redis_url),
        blank_page(require_binary("chromium"), ignore_https_errors=True) as tab,
    ):
        signed = bearer()["Authorization"].partition(" ")[2]
        await tab.context.add_cookies([{"name": "exmail_bridge", "value": signed, "url": stage.url, "httpOnly": True}])
        await tab.goto(f"{stage.url}/page.html")
        await tab.wait_for_function("seen >= 9")
        protocol = await tab.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == "h2"
