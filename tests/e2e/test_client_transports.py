"""Which transport ``/client.js`` takes, when it gives one up, and that it comes back to WebSocket."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page

from tests.support.client_tab import begin, come_back, in_time, told, until
from tests.support.scripted_edge import EPOCH, Connection, ScriptedEdge, closing, event, snapshot
from tests.support.waiting import PATIENCE_S


async def test_sse_where_websocket_never_gets_through(tab: Page, edge: ScriptedEdge) -> None:
    """With ``auto`` two WebSockets that bring nothing are followed by an event stream, and that stays."""
    edge.refuse_websocket = True
    await tab.evaluate("begin()")
    await tab.clock.run_for(1)
    for tries in (1, 2):
        await until(tab, "mail.state === 'waiting'")
        assert len(edge.refused) == tries
        await tab.clock.run_for(1100)
    stream = await edge.connection()
    assert stream.path == "/exmail/events"
    await stream.say(snapshot(4))
    await until(tab, "mail.state === 'open' && mail.transport === 'sse'")
    await stream.close()
    again = await come_back(tab, edge)
    assert (again.path, again.query) == ("/exmail/events", {"after": f"{EPOCH}-4"})


async def test_no_event_stream_either(tab: Page, edge: ScriptedEdge) -> None:
    """When the edge is simply away, WebSocket gets another chance after each event stream."""
    edge.refuse_websocket = True
    await tab.evaluate("begin()")
    await tab.clock.run_for(1)
    for _ in range(2):
        await until(tab, "mail.state === 'waiting'")
        await tab.clock.run_for(1100)
    stream = await edge.connection()
    edge.refuse_websocket = False
    stream.abort()
    again = await come_back(tab, edge)
    assert again.path == "/exmail/ws"


async def on_sse(tab: Page, edge: ScriptedEdge, options: str = "{}") -> Connection:
    """Connect where WebSocket does not get through, and take the event stream."""
    edge.refuse_websocket = True
    await tab.evaluate(f"begin({options})")
    await tab.clock.run_for(1)
    for _ in range(2):
        await until(tab, "mail.state === 'waiting'")
        await tab.clock.run_for(1100)
    stream = await edge.connection()
    assert stream.path == "/exmail/events"
    return stream


async def test_from_sse_back_to_websocket(tab: Page, edge: ScriptedEdge) -> None:
    """A WebSocket is dialled beside the stream; with its snapshot it takes over, and nothing comes twice."""
    await tab.evaluate("window.n = 0")
    stream = await on_sse(tab, edge, "{ ticket: async () => `ticket${n += 1}` }")
    await stream.say(snapshot(4), event(5))
    await until(tab, f"mail.position === '{EPOCH}-5'")
    edge.refuse_websocket = False
    await tab.clock.run_for(31_000)
    socket = await edge.connection()
    assert (socket.path, socket.query) == ("/exmail/ws", {"after": f"{EPOCH}-5", "ticket": "ticket4"})
    await stream.say(event(6))
    await until(tab, f"mail.position === '{EPOCH}-6'")
    assert await tab.evaluate("[mail.transport, mail.state]") == ["sse", "open"]
    await socket.say(snapshot(5, resumed=True), event(6), event(7))
    await until(tab, f"mail.position === '{EPOCH}-7'")
    await asyncio.wait_for(stream.left.wait(), PATIENCE_S)
    assert [data["mail_id"] for data in await told(tab, "mail")] == ["M5", "M6", "M7"]
    assert await told(tab, "state") == ["connecting", "waiting"] * 2 + ["connecting", "open", "open"]
    assert await tab.evaluate("mail.transport") == "websocket"
    socket.abort()
    assert (await come_back(tab, edge)).path == "/exmail/ws"


async def test_what_stands_in_the_way_is_asked_ever_more_seldom(tab: Page, edge: ScriptedEdge) -> None:
    """Each WebSocket beside the stream that is refused doubles the time to the next; the stream serves on."""
    stream = await on_sse(tab, edge)
    await stream.say(snapshot(4))
    await until(tab, "mail.state === 'open'")
    seen = len(edge.refused)
    for wait_ms in (30_000, 60_000, 120_000):
        for _ in range(wait_ms // 30_000):
            assert len(edge.refused) == seen
            await stream.say({"type": "exmail.heartbeat", "data": {}})
            await until(tab, "told[told.length - 1][0] === 'heartbeat' && told.push(['tick'])")
            await tab.clock.run_for(30_000)
        seen += 1
        async with asyncio.timeout(PATIENCE_S):
            while len(edge.refused) < seen:
                await tab.clock.run_for(10)
    assert await told(tab, "state") == ["connecting", "waiting"] * 2 + ["connecting", "open"]


async def test_busy_is_no_reason_against_websocket(tab: Page, edge: ScriptedEdge) -> None:
    """While the edge is away a proxy may answer its event streams with 3013: the next connection is a WebSocket."""
    stream = await on_sse(tab, edge)
    edge.refuse_websocket = False
    await stream.say(closing(3013, 2000))
    assert (await come_back(tab, edge)).path == "/exmail/ws"


@pytest.mark.parametrize("nothing", ["new Promise(() => {})", "Promise.reject(new Error('the OA is away'))"])
async def test_who_was_never_dialled_is_not_blocked(tab: Page, edge: ScriptedEdge, nothing: str) -> None:
    """Tickets that hang, or that there are none, say nothing about WebSocket."""
    await tab.evaluate(f"window.n = 0; begin({{ ticket: () => (n += 1) < 4 ? {nothing} : 'good' }})")
    await tab.clock.run_for(1)
    assert (await in_time(tab, edge, 500)).path == "/exmail/ws"
    assert await told(tab, "state") == ["connecting", "waiting"] * 3 + ["connecting"]


@pytest.mark.parametrize("what", ["portal", "offline"])
async def test_whatever_was_in_between_it_ends_on_websocket(tab: Page, edge: ScriptedEdge, what: str) -> None:
    """A captive portal that answers everything, or no network, for a minute and a half: WebSocket again at the end."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(4))
    await until(tab, "mail.state === 'open'")
    if what == "portal":
        edge.portal = True
    else:
        await edge.go_away()
    connection.abort()
    for _ in range(9):
        await until(tab, "mail.state !== 'open'")
        await tab.clock.run_for(10_000)
    edge.portal = False
    await edge.come_back()
    paths: list[str] = []
    while len(paths) < 2 and "/exmail/ws" not in paths:
        connection = await in_time(tab, edge, 1000)
        paths.append(connection.path)
        await connection.say(snapshot(4, resumed=True))
        await until(tab, f"mail.state === 'open' && mail.transport === '{'websocket' if 'ws' in paths[-1] else 'sse'}'")
    assert paths[-1] == "/exmail/ws"


async def test_a_policy_without_websocket_costs_no_time(tab: Page, edge: ScriptedEdge) -> None:
    """A Content-Security-Policy without the WebSocket is noticed at once: Chromium gives such a socket no close."""
    edge.policy = f"connect-src {edge.url}"
    await tab.reload()
    await tab.evaluate("window.since = Date.now(); begin()")
    await tab.clock.run_for(1)
    assert (await in_time(tab, edge, 50)).path == "/exmail/events"
    assert await tab.evaluate("Date.now() - since") < 5000
