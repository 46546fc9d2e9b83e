"""``/client.js`` in a real Chromium, against an edge that does what a test says: coming back, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support import waiting
from tests.support.scripted_edge import EPOCH, Connection, ScriptedEdge, closing, event, scripted_edge, snapshot

# Everything that the page is told, in order; back-off without chance, so that it can be read.
RECORD = """
  Math.random = () => 1;
  window.told = [];
  window.begin = (options) => {
    window.mail = ExmailBridge.connect(options);
    for (const name of ['mail', 'unread', 'missed', 'snapshot', 'upstream', 'event', 'heartbeat', 'state']) {
      mail.on(name, (...values) => told.push([name, ...values]));
    }
  };
"""


@pytest.fixture
async def edge() -> AsyncIterator[ScriptedEdge]:
    async with scripted_edge() as edge:
        yield edge


@pytest.fixture
async def tab(page: Page, edge: ScriptedEdge) -> Page:
    """A page that has loaded the script and is not connected yet; its clock is the test's."""
    await page.clock.install()
    await page.add_init_script(RECORD)
    await page.goto(edge.url)
    return page


async def begin(tab: Page, edge: ScriptedEdge, options: str = "{}") -> Connection:
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

    await waiting.until(holds, within_s=20)


async def come_back(tab: Page, edge: ScriptedEdge, ms: int = 600) -> Connection:
    """Wait until it waits, let the page's time pass, and take the next connection."""
    await until(tab, "mail.state === 'waiting'")
    await tab.clock.run_for(ms)
    return await edge.connection()


@pytest.mark.parametrize("code", [1001, 1011, 3001, 3005, 3008, 3013, 3499, 4000, 4499])
async def test_codes_that_say_come_back(tab: Page, edge: ScriptedEdge, code: int) -> None:
    """After any code outside 3500–3999 and 4500–4999 it comes back, from where it was."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(7))
    await until(tab, "mail.state === 'open'")
    await connection.close(code)
    again = await come_back(tab, edge)
    assert again.query == {"after": f"{EPOCH}-7"}


@pytest.mark.parametrize("code", [3500, 3501, 3503, 3507, 3999, 4500, 4999])
@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_codes_that_say_do_not(tab: Page, edge: ScriptedEdge, code: int, transport: str) -> None:
    """After a code that forbids it nothing comes back by itself, whatever happens; ``reconnect()`` does."""
    connection = await begin(tab, edge, f"{{ transport: '{transport}' }}")
    if transport == "sse":
        await connection.say(closing(code))
    else:
        await connection.close(code)
    await until(tab, "mail.state === 'closed'")
    detail = await tab.evaluate("told[told.length - 1][2]")
    assert detail == {"transport": transport, "code": code, "reason": "told so"}
    await tab.evaluate("dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange'))")
    await tab.clock.run_for(4_000_000)
    assert await tab.evaluate("mail.state") == "closed"
    assert edge.opened.empty()
    await tab.evaluate("mail.reconnect()")
    await edge.connection()


async def test_every_connection_has_a_fresh_ticket(tab: Page, edge: ScriptedEdge) -> None:
    """Tickets open one connection: the callback is asked before each, also after 3005; a failing one is asked again."""
    await tab.evaluate("window.n = 0")
    connection = await begin(
        tab,
        edge,
        "{ ticket: async () => { n += 1; if (n === 2) throw new Error('OA is away'); return `ticket${n}`; } }",
    )
    assert connection.query == {"ticket": "ticket1"}
    await connection.say(snapshot(1))
    await until(tab, "mail.state === 'open'")
    await connection.close(3005)
    await until(tab, "mail.state === 'waiting'")
    await tab.clock.run_for(600)
    await until(tab, "mail.state === 'waiting' && n === 2")
    again = await come_back(tab, edge, 1100)
    assert again.query == {"after": f"{EPOCH}-1", "ticket": "ticket3"}


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_events_come_once_and_in_order(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """What the edge sends again after a lost connection is handed on once; counts only grow newer."""
    connection = await begin(tab, edge, f"{{ transport: '{transport}' }}")
    await connection.say(snapshot(0, unread=0), event(1), event(2), event(2), event(1))
    await until(tab, "mail.unread === 2")
    connection.abort()
    again = await come_back(tab, edge)
    assert again.query == {"after": f"{EPOCH}-2"}
    await again.say(snapshot(2, resumed=True, unread=9, as_of=1004), event(2), event(3), event(4), event(5))
    await until(tab, f"mail.position === '{EPOCH}-5'")
    ids = [f"M{seq}" for seq in range(1, 6)]
    assert [data["mail_id"] for data in await told(tab, "mail")] == ids
    assert [each["data"]["mail_id"] for each in await told(tab, "event")] == ids
    # 3 is older than the snapshot's 9 and is not shown; 4 has the snapshot's own stamp, 5 a newer one.
    assert await told(tab, "unread") == [0, 1, 2, 9, 4, 5]


async def test_a_hole_is_asked_for(tab: Page, edge: ScriptedEdge) -> None:
    """A jump in seq is not handed on: the connection is made again from the last place, once."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(0), event(1), event(4))
    again = await edge.connection()
    assert again.query == {"after": f"{EPOCH}-1"}
    assert [data["mail_id"] for data in await told(tab, "mail")] == ["M1"]
    await again.say(snapshot(1, resumed=True), event(4))
    await until(tab, f"mail.position === '{EPOCH}-4'")


async def test_a_new_beginning_replaces_the_count(tab: Page, edge: ScriptedEdge) -> None:
    """A snapshot that is not resumed is the truth, though its stamp be older and its epoch another."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(9, unread=9))
    await until(tab, "mail.unread === 9")
    await connection.say(snapshot(0, unread=3, as_of=5, position="bbbbbbbb-0"), event(1, epoch="bbbbbbbb", as_of=6))
    await until(tab, "mail.position === 'bbbbbbbb-1'")
    assert await told(tab, "unread") == [9, 3, 1]


async def test_back_off_grows_until_a_snapshot(tab: Page, edge: ScriptedEdge) -> None:
    """The wait doubles up to 30 s over connections that open and say nothing; a snapshot makes it short again."""
    connection = await begin(tab, edge, "{ transport: 'websocket' }")
    waits = []
    for _ in range(8):
        await connection.close(1011)
        await until(tab, "mail.state === 'waiting'")
        waits.append(await tab.evaluate("told[told.length - 1][2].retry_ms"))
        await tab.clock.run_for(waits[-1])
        connection = await edge.connection()
    assert waits == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
    await connection.say(snapshot(0))
    await until(tab, "mail.state === 'open'")
    await connection.close(1011)
    await until(tab, "mail.state === 'waiting'")
    assert await tab.evaluate("told[told.length - 1][2].retry_ms") == 500


async def test_the_edge_says_how_long(tab: Page, edge: ScriptedEdge) -> None:
    """``retry_ms`` is obeyed, also by a page that comes to the front; the native reconnect never happens."""
    connection = await begin(tab, edge, "{ transport: 'sse' }")
    await connection.say(closing(3013, 7000))
    await until(tab, "mail.state === 'waiting'")
    await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await tab.clock.run_for(6900)
    assert await tab.evaluate("mail.state") == "waiting"
    assert edge.opened.empty()
    await tab.clock.run_for(200)
    await edge.connection()


async def test_silence_is_a_lost_connection(tab: Page, edge: ScriptedEdge) -> None:
    """Heartbeats keep a connection; sixty seconds without a frame end it."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(3))
    await until(tab, "mail.state === 'open'")
    await tab.clock.run_for(50_000)
    await connection.say({"type": "exmail.heartbeat", "data": {}})
    await until(tab, "told.some(each => each[0] === 'heartbeat')")
    await tab.clock.run_for(50_000)
    assert await tab.evaluate("mail.state") == "open"
    await tab.clock.run_for(30_000)
    again = await edge.connection()
    assert again.query == {"after": f"{EPOCH}-3"}
    await asyncio.wait_for(connection.left.wait(), 20)


async def test_a_handshake_without_an_answer_is_given_up(tab: Page, edge: ScriptedEdge) -> None:
    """An edge that accepts and says nothing is left after twenty seconds."""
    await begin(tab, edge)
    await tab.clock.run_for(27_000)
    await edge.connection()


async def test_the_network_comes_back(tab: Page, edge: ScriptedEdge) -> None:
    """``online`` and a page that is shown again do not wait for the back-off."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(1))
    await until(tab, "mail.state === 'open'")
    await tab.evaluate("dispatchEvent(new Event('online'))")
    await tab.clock.run_for(1)
    second = await edge.connection()
    second.abort()
    await until(tab, "mail.state === 'waiting'")
    await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await tab.clock.run_for(1)
    third = await edge.connection()
    assert third.query == {"after": f"{EPOCH}-1"}


async def test_a_page_that_is_left_and_found_again(tab: Page, edge: ScriptedEdge) -> None:
    """A page in the back/forward cache holds no connection; when it returns, it continues."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(2))
    await until(tab, "mail.state === 'open'")
    await tab.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await asyncio.wait_for(connection.left.wait(), 20)
    await tab.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await tab.clock.run_for(1)
    again = await edge.connection()
    assert again.query == {"after": f"{EPOCH}-2"}


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
    again = await come_back(tab, edge, 2100)
    assert again.path == "/exmail/ws"


async def test_what_it_does_not_know_it_ignores(tab: Page, edge: ScriptedEdge) -> None:
    """Frames of unknown types, events of unknown types without a count, and text that is no JSON do no harm."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(0), {"type": "exmail.tomorrow", "data": {}})
    for text in ("hello", "null", "7"):
        await connection.say_text(text)
    await connection.say({"specversion": "1.0", "id": f"{EPOCH}-1", "type": "exmail.tomorrow.new"}, event(2))
    await until(tab, f"mail.position === '{EPOCH}-2'")
    assert [each["type"] for each in await told(tab, "event")] == ["exmail.tomorrow.new", "exmail.mail.new"]
    assert [data["mail_id"] for data in await told(tab, "mail")] == ["M2"]
    assert tab.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_missed_mails_are_told_and_are_no_count(tab: Page, edge: ScriptedEdge) -> None:
    """``exmail.mail.missed`` has no count of its own; the one that follows it has."""
    connection = await begin(tab, edge)
    data = {"mailbox": "bob@gzdev.com", "since": 1, "until": 2, "at_least": 3}
    missed = {"specversion": "1.0", "id": f"{EPOCH}-1", "type": "exmail.mail.missed", "data": data}
    await connection.say(snapshot(0), missed, event(2, unread=5))
    await until(tab, "mail.unread === 5")
    assert await told(tab, "missed") == [data]
    assert [data["mail_id"] for data in await told(tab, "mail")] == ["M2"]


async def test_a_handler_that_throws_harms_nobody(tab: Page, edge: ScriptedEdge) -> None:
    """The others are called, the stream goes on, and the error is the page's own; a handler can be taken away."""
    connection = await begin(tab, edge)
    await tab.evaluate("window.off = mail.on('mail', () => { throw new Error('mine'); }); null")
    await tab.evaluate("window.after = []; mail.on('mail', (data) => after.push(data.mail_id)); null")
    await connection.say(snapshot(0), event(1))
    await until(tab, "after.length === 1")
    await tab.clock.run_for(1)
    assert [line.splitlines()[0] for line in tab.wrong] == ["Error: mine"]  # type: ignore[attr-defined]  # the fixture's note
    await tab.evaluate("off()")
    await connection.say(event(2))
    await until(tab, "after.length === 2")
    await tab.clock.run_for(1)
    assert [line.splitlines()[0] for line in tab.wrong] == ["Error: mine"]  # type: ignore[attr-defined]  # the fixture's note


async def test_title_and_badge(tab: Page, edge: ScriptedEdge) -> None:
    """The count stands before the title that the page has now, and in the badge; nothing unread, nothing shown."""
    connection = await begin(tab, edge, "{ title: true, badge: '#badge' }")
    await connection.say(snapshot(1, unread=1))
    await expect(tab).to_have_title("(1) Inbox")
    await expect(tab.locator("#badge")).to_have_text("1")
    await tab.evaluate("document.title = 'Other'")
    await connection.say(event(2))
    await expect(tab).to_have_title("(2) Other")
    await connection.say(snapshot(2, unread=0))
    await expect(tab).to_have_title("Other")
    await expect(tab.locator("#badge")).to_have_text("")
    await connection.say(event(3))
    await expect(tab).to_have_title("(3) Other")
    await tab.evaluate("mail.close()")
    await expect(tab).to_have_title("Other")
    await asyncio.wait_for(connection.left.wait(), 20)


async def test_the_next_page_of_a_tab_continues(tab: Page, edge: ScriptedEdge) -> None:
    """With ``storage`` a reload asks for what came in between; without it, it begins anew."""
    connection = await begin(tab, edge, "{ storage: true }")
    await connection.say(snapshot(0), event(1))
    await until(tab, f"mail.position === '{EPOCH}-1'")
    await tab.reload()
    again = await begin(tab, edge, "{ storage: true }")
    assert again.query == {"after": f"{EPOCH}-1"}
    other = await begin(tab, edge)
    assert other.query == {}


async def test_options_go_into_the_address(tab: Page, edge: ScriptedEdge) -> None:
    """``url``, ``mailbox`` and ``after`` say where, what and from when; an unknown transport or event is refused."""
    connection = await begin(
        tab, edge, "{ url: '/exmail', mailbox: 'ann+x@gzdev.com', after: 'cccccccc-5', transport: 'sse' }"
    )
    assert connection.path == "/exmail/events"
    assert connection.query == {"mailbox": "ann+x@gzdev.com", "after": "cccccccc-5"}
    for wrong in ("ExmailBridge.connect({ transport: 'pigeon' })", "mail.on('mails', () => 0)"):
        assert await tab.evaluate(f"(() => {{ try {{ {wrong}; }} catch (error) {{ return error.name; }} }})()") == (
            "TypeError"
        )
