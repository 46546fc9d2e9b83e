"""``/client.js`` in a real Chromium, against an edge that does what a test says: coming back, and what it tells."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from playwright.async_api import Page

from tests.support.client_tab import begin, come_back, told, until, waits
from tests.support.scripted_edge import EPOCH, SCRIPTS, ScriptedEdge, closing, event, snapshot
from tests.support.waiting import PATIENCE_S

NOTES_OPEN_SOCKETS = """
  window.WebSocket = class extends WebSocket {
    constructor(...values) {
      super(...values);
      this.addEventListener('open', () => { socketsOpened += 1; });
    }
  };
  window.socketsOpened = 0;
"""


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


async def test_back_off_grows_until_a_connection_lasts(tab: Page, edge: ScriptedEdge) -> None:
    """The wait doubles up to 30 s, also over connections that die right after their snapshot; one that lived for half a
    minute makes it short again."""
    connection = await begin(tab, edge, "{ transport: 'websocket' }")
    told_waits = []
    for number in range(8):
        if number % 2:
            await connection.say(snapshot(0))
            await until(tab, "mail.state === 'open'")
        await connection.close(1011)
        told_waits.append(await waits(tab))
        await tab.clock.run_for(told_waits[-1])
        connection = await edge.connection()
    assert told_waits == [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
    await connection.say(snapshot(0))
    await until(tab, "mail.state === 'open'")
    await tab.clock.run_for(31_000)
    await connection.close(1011)
    assert await waits(tab) == 500


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_the_edge_says_how_long(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """``retry_ms`` is obeyed, also by a page that comes to the front; the native reconnect never happens."""
    connection = await begin(tab, edge, f"{{ transport: '{transport}' }}")
    await connection.say(closing(3013, 7000))
    assert await waits(tab) == 7000
    assert await tab.evaluate("told.pop()[2].code") == 3013
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
    await asyncio.wait_for(connection.left.wait(), PATIENCE_S)


async def test_a_handshake_without_an_answer_is_given_up(tab: Page, edge: ScriptedEdge) -> None:
    """An edge that accepts and says nothing is left after twenty seconds."""
    await tab.evaluate(NOTES_OPEN_SOCKETS)
    await begin(tab, edge)
    await until(tab, "window.socketsOpened === 1")  # the twenty seconds begin there, by the page's clock
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


async def test_a_hint_that_cannot_be_is_bounded(tab: Page, edge: ScriptedEdge) -> None:
    """Browsers run a timer of more than 24 days at once; nobody is sent away for longer than an hour."""
    connection = await begin(tab, edge)
    for hint, wait in ((10**12, 3_600_000), ("soon", 1000), (-5, 2000)):
        await connection.say({"type": "exmail.closing", "data": {"code": 3013, "reason": "busy", "retry_ms": hint}})
        assert await waits(tab) == wait
        await tab.clock.run_for(wait)
        connection = await edge.connection()


async def test_a_large_snapshot_on_a_slow_line_is_waited_for(tab: Page, edge: ScriptedEdge) -> None:
    """A connection that opened and brought nothing is given up after 20 s; the next one is given longer."""
    await begin(tab, edge, "{ transport: 'websocket' }")
    await tab.clock.run_for(26_000)
    slow = await edge.connection()
    await tab.clock.run_for(35_000)
    assert edge.opened.empty()
    await slow.say(snapshot(3))
    await until(tab, "mail.state === 'open'")


async def test_a_clock_that_is_set_back_keeps_nobody_waiting(tab: Page, edge: ScriptedEdge) -> None:
    """Neither silence nor the patience that the edge asked for is measured by a clock that may be set."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(3))
    await until(tab, "mail.state === 'open'")
    await tab.clock.set_system_time(await tab.evaluate("Date.now() / 1000") - 3600)
    await tab.clock.run_for(70_000)
    connection = await edge.connection()
    assert connection.query == {"after": f"{EPOCH}-3"}
    await connection.say(closing(3013, 60_000))
    await until(tab, "mail.state === 'waiting'")
    await tab.clock.set_system_time(await tab.evaluate("Date.now() / 1000") - 3600)
    await tab.clock.run_for(40_000)
    await tab.evaluate("dispatchEvent(new Event('online'))")
    assert edge.opened.empty()
    await tab.clock.run_for(21_000)
    await edge.connection()


def test_it_stays_small() -> None:
    """What each page of the OA loads: at most 8 KB, compressed as a proxy does."""
    assert len(gzip.compress(SCRIPTS["client.js"].body)) <= 8192
