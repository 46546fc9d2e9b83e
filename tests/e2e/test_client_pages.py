"""What pages do to ``/client.js``: libraries, globals, titles, badges, handlers."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.support import waiting
from tests.support.client_tab import begin, told, until
from tests.support.scripted_edge import PAGE, ScriptedEdge, closing, event, snapshot
from tests.support.waiting import PATIENCE_S

BADGE = "{ title: true, badge: '#badge' }"
SCRIPT = "<script src=/exmail/client.js></script>"
GLOBALS = """
  function Map() {} function Set() {} function Promise() {} function URL() {} function Event() {}
  var performance = { now: function () { return 'often'; } }, parent = {}, length = 'long', name = 'x', status = 1;
  Array.from = function () { return []; };
  Object.prototype.extend = function () {}; Array.prototype.remove = function () {};
  Array.prototype.toJSON = function () { return 'x'; };
"""


async def test_a_handler_that_throws_harms_nobody(tab: Page, edge: ScriptedEdge) -> None:
    """The others are called, the stream goes on, and the error is the page's own; a handler can be taken away."""
    connection = await begin(tab, edge)
    await tab.evaluate("window.off = mail.on('mail', () => { throw new Error('mine'); }); null")
    await tab.evaluate("window.after = []; mail.on('mail', (data) => after.push(data.mail_id)); null")
    await tab.clock.resume()  # what a handler throws is thrown again by a timer; a paused clock would throw it at us
    await connection.say(snapshot(0), event(1))
    await until(tab, "after.length === 1")
    await waiting.until(lambda: bool(tab.wrong))  # type: ignore[attr-defined]  # the fixture's note
    assert [line.splitlines()[0] for line in tab.wrong] == ["Error: mine"]  # type: ignore[attr-defined]  # the fixture's note
    await tab.evaluate("off()")
    await connection.say(event(2), event(3))
    await until(tab, "after.length === 3")
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
    await asyncio.wait_for(connection.left.wait(), PATIENCE_S)


@pytest.mark.parametrize(
    "before",
    [
        *(
            f"<script src=/libraries/{name}></script>"
            for name in ("prototype-1.7.3.js", "mootools-core-1.4.5.min.js", "jquery-1.12.4.min.js")
        ),
        f"<script>{GLOBALS}</script>",
    ],
    ids=["prototype", "mootools", "jquery", "globals"],
)
async def test_a_page_may_replace_what_the_browser_has(tab: Page, edge: ScriptedEdge, before: str) -> None:
    """Libraries replace built-ins, and pages have variables of the same names: every handler is called all the same."""
    # The page writes down itself what it is told: playwright's own script in it needs what is replaced.
    after = """<pre id=log></pre><script>
      Math.random = () => 1;
      const log = document.querySelector('#log');
      const mail = ExmailBridge.connect({ title: true, badge: '#badge', storage: true, ticket: async () => 'x' });
      mail.on('mail', (data, event) => { log.textContent += ` ${data.mail_id} ${event.type}`; });
      mail.on('unread', (count) => { log.textContent += ` ${count}`; });
      mail.on('state', (state, detail) => { log.textContent += ` ${state} ${detail.transport}`; });
    </script>"""
    edge.pages["/"] = PAGE.replace("<script", f"{before}<script", 1) + after
    await tab.goto(edge.url)
    await tab.clock.run_for(1)
    connection = await edge.connection()
    assert (connection.path, connection.query) == ("/exmail/ws", {"ticket": "x"})
    await connection.say(snapshot(0, unread=0), event(1), event(2))
    mails = "M1 exmail.mail.new 1 M2 exmail.mail.new 2"
    log = f"connecting websocket open websocket 0 {mails}"
    await expect(tab.locator("#log")).to_have_text(log)
    await expect(tab).to_have_title("(2) Inbox")
    await expect(tab.locator("#badge")).to_have_text("2")
    await connection.close(3001)
    await expect(tab.locator("#log")).to_have_text(f"{log} waiting websocket")
    await tab.clock.run_for(600)
    assert (await edge.connection()).query == {"ticket": "x", "after": "aaaaaaaa-2"}
    assert tab.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_a_jquery_promise_brings_tickets(tab: Page, edge: ScriptedEdge) -> None:
    """``$.post`` will do: jQuery 1's own kind of promise, and its refusal has a status."""
    edge.pages["/"] = PAGE.replace("<script", "<script src=/libraries/jquery-1.12.4.min.js></script><script", 1)
    edge.pages["/oa/ticket"] = "good"
    await tab.goto(edge.url)
    assert (await begin(tab, edge, "{ ticket: () => $.get('/oa/ticket') }")).query == {"ticket": "good"}
    await tab.evaluate("mail.close()")
    edge.logout_status = 401
    await tab.evaluate("begin({ ticket: () => $.post('/exmail/logout') })")
    await tab.clock.run_for(1)
    await until(tab, "mail.state === 'waiting'")
    assert await tab.evaluate("told.pop()[2].code") == 3009


async def test_two_connections_have_one_title(tab: Page, edge: ScriptedEdge) -> None:
    """One prefix however many connections show it: those of one mailbox count once, further mailboxes are added."""
    first = await begin(tab, edge, "{ title: true }")
    await first.say(snapshot(0, unread=4))
    await expect(tab).to_have_title("(4) Inbox")
    second = await begin(tab, edge, "{ title: true }")
    await second.say(snapshot(0, unread=4), event(1, unread=5))
    await expect(tab).to_have_title("(5) Inbox")
    third = await begin(tab, edge, "{ title: true, mailbox: 'ann@gzdev.com' }")
    await third.say(snapshot(0, unread=2, mailbox="ann@gzdev.com"))
    await expect(tab).to_have_title("(7) Inbox")
    await tab.evaluate("mail.close()")
    await expect(tab).to_have_title("(5) Inbox")


async def test_a_script_that_is_loaded_twice_has_one_title(tab: Page, edge: ScriptedEdge) -> None:
    """Two widgets, each with its own script element."""
    first = await begin(tab, edge, "{ title: true }")
    await first.say(snapshot(0, unread=4))
    await expect(tab).to_have_title("(4) Inbox")
    await tab.add_script_tag(url=f"{edge.url}exmail/client.js")
    second = await begin(tab, edge, "{ title: true }")
    await second.say(snapshot(0, unread=5))
    await expect(tab).to_have_title("(5) Inbox")


async def test_others_write_the_title_too(tab: Page, edge: ScriptedEdge) -> None:
    """A saved title that comes back loses our prefix and nothing else; it may be empty, or look like one of ours."""
    connection = await begin(tab, edge, "{ title: true }")
    await connection.say(snapshot(3))
    await tab.evaluate("document.title = '(2024) Report'")
    await connection.say(snapshot(3, unread=3))
    await expect(tab).to_have_title("(3) (2024) Report")
    await tab.evaluate("window.saved = document.title; document.title = '* new *'")
    await connection.say(event(4, unread=5))
    await expect(tab).to_have_title("(5) * new *")
    await tab.evaluate("document.title = saved")
    await connection.say({"type": "exmail.heartbeat", "data": {}})
    await expect(tab).to_have_title("(5) (2024) Report")
    await tab.evaluate("document.title = ''")
    await connection.say(event(5, unread=6))
    await expect(tab).to_have_title("(6)")
    await connection.say(event(6, unread=7))
    await expect(tab).to_have_title("(7)")
    await tab.evaluate("mail.close()")
    await expect(tab).to_have_title("")


async def test_a_badge_may_come_late_and_anew(tab: Page, edge: ScriptedEdge) -> None:
    """What a framework adds later, or renders again, has the count with the next heartbeat."""
    await tab.evaluate("document.querySelector('#badge').remove()")
    connection = await begin(tab, edge, BADGE)
    await connection.say(snapshot(3, unread=3))
    await until(tab, "mail.unread === 3")
    for _ in range(2):
        await tab.evaluate("document.body.innerHTML = '<b id=badge></b>'")
        await connection.say({"type": "exmail.heartbeat", "data": {}})
        await expect(tab.locator("#badge")).to_have_text("3")


async def test_what_cannot_work_is_said_at_once(tab: Page, edge: ScriptedEdge) -> None:
    """A badge that is none, a ticket that is no function, a handler that is none: an error where the page's line is."""
    wrong = {
        "ExmailBridge.connect({ badge: '#unread:visible(' })": "SyntaxError",
        "ExmailBridge.connect({ badge: { 0: document.body } })": "TypeError",
        "ExmailBridge.connect({ ticket: 'abc' })": "TypeError",
        "ExmailBridge.connect({ url: 'about:blank' })": "TypeError",
        "mail.on('mail', undefined)": "TypeError",
        "mail.on('toString', () => 0)": "TypeError",
    }
    await begin(tab, edge, "{ transport: undefined, ticket: undefined, badge: null, title: undefined, url: undefined }")
    for line, name in wrong.items():
        assert await tab.evaluate(f"(() => {{ try {{ {line}; }} catch (error) {{ return error.name; }} }})()") == name
    await tab.clock.run_for(100)
    assert edge.opened.empty()


async def test_closed_within_a_handler_is_closed(tab: Page, edge: ScriptedEdge) -> None:
    """After ``close()`` no handler runs, and title and badge are the page's own, in whichever handler it was called."""
    for name in ("snapshot", "event", "mail", "unread", "upstream", "state"):
        await tab.reload()
        await tab.evaluate("window.calls = []")
        connection = await begin(tab, edge, BADGE)
        when = "state === 'open'" if name == "state" else "true"
        await tab.evaluate(
            f"mail.on('{name}', (state) => {{ if ({when}) {{ mail.close(); calls = told.length; }} }}); null"
        )
        await tab.evaluate("mail.on('mail', () => calls.push('late')); null")
        await connection.say(snapshot(3, unread=3), event(4))
        await until(tab, "mail.state === 'closed'")
        await connection.left.wait()
        assert await tab.evaluate("calls === told.length"), name
        assert await tab.evaluate("told[told.length - 1][1]") == "closed"
        await expect(tab).to_have_title("Inbox")
        await expect(tab.locator("#badge")).to_have_text("")


@pytest.mark.parametrize("call", ["close", "reconnect"])
async def test_whatever_a_handler_does_when_the_count_goes_stands(tab: Page, edge: ScriptedEdge, call: str) -> None:
    """Who ends or begins anew in the handler that is told that the count goes, has his way."""
    for frame in (closing(3009), snapshot(0, mailbox="ann@gzdev.com", position="bbbbbbbb-0", unread=2)):
        await tab.reload()
        connection = await begin(tab, edge, BADGE)
        await tab.evaluate(f"mail.on('unread', (count) => {{ if (count === null) mail.{call}(); }}); null")
        await connection.say(snapshot(3, unread=3), frame)
        if call == "close":
            await until(tab, "mail.state === 'closed'")
            await tab.clock.run_for(700_000)
            assert edge.opened.empty()
            assert await told(tab, "state") == ["connecting", "open", "closed"]
        else:
            again = await edge.connection()
            await tab.clock.run_for(10_000)
            assert edge.opened.empty()
            assert await told(tab, "state") == ["connecting", "open", "connecting"]
            again.abort()


async def test_back_from_within_closed(tab: Page, edge: ScriptedEdge) -> None:
    """``reconnect()`` in the handler of ``closed`` is open again, and shows the count."""
    connection = await begin(tab, edge, BADGE)
    await tab.evaluate("mail.on('state', (state) => { if (state === 'closed') mail.reconnect(); }); null")
    await connection.say(snapshot(3, unread=3))
    await until(tab, "mail.unread === 3")
    await tab.evaluate("mail.close()")
    again = await edge.connection()
    await again.say(snapshot(3, resumed=True, unread=3))
    await until(tab, "mail.state === 'open'")
    await expect(tab).to_have_title("(3) Inbox")
    await expect(tab.locator("#badge")).to_have_text("3")


async def test_handlers_come_and_go_one_by_one(tab: Page, edge: ScriptedEdge) -> None:
    """The same function twice is two handlers; one that is taken away is not called, within an event either."""
    connection = await begin(tab, edge)
    await tab.evaluate("""
      window.calls = [];
      const same = () => calls.push('same');
      const off = mail.on('mail', same);
      mail.on('mail', same);
      mail.on('mail', (data) => { calls.push(data.mail_id); off(); off(); last(); });
      const last = mail.on('mail', () => calls.push('last'));
      null;
    """)
    await connection.say(snapshot(0), event(1), event(2))
    await until(tab, "mail.unread === 2")
    assert await tab.evaluate("calls") == ["same", "same", "M1", "same", "M2"]


async def test_handlers_read_what_they_are_told_of(tab: Page, edge: ScriptedEdge) -> None:
    """In the handler of a mail, or of a snapshot, the connection's count is the one that came with it."""
    await tab.evaluate("window.read = []")
    connection = await begin(tab, edge)
    await tab.evaluate("""
      for (const name of ['snapshot', 'event', 'mail', 'upstream', 'unread']) {
        mail.on(name, () => read.push([name, mail.unread, mail.upstream?.state]));
      }
      null;
    """)
    await connection.say(snapshot(3, unread=3), event(4))
    await until(tab, "read.length === 6")
    assert await tab.evaluate("read") == [
        *[[name, 3, "connected"] for name in ("snapshot", "upstream", "unread")],
        *[[name, 4, "connected"] for name in ("event", "mail", "unread")],
    ]


@pytest.mark.parametrize("kind", ["", " type=module"])
async def test_in_a_bundle_the_url_is_needed(tab: Page, edge: ScriptedEdge, kind: str) -> None:
    """A bundle's folder, or the root, is hardly the edge's: it is said on the console. With ``url`` nothing is said."""
    edge.pages["/"] = PAGE.replace(SCRIPT, f"<script{kind} src=/assets/app.js></script>")
    warned: list[str] = []
    tab.on("console", lambda message: warned.append(message.text) if message.type == "warning" else None)
    await tab.goto(edge.url)
    await begin(tab, edge, "{ url: '/exmail' }")
    assert warned == []
    await tab.evaluate("ExmailBridge.connect()")
    assert len(warned) == 1
    assert re.search(r"url is needed; taken is http://[\d.:]+/", warned[0])


async def test_a_window_whose_ticket_never_comes_is_closed(tab: Page, edge: ScriptedEdge) -> None:
    """After twenty seconds the promise is rejected and no blank window stays."""
    await begin(tab, edge, "{ ticket: async () => window.late ? new Promise(() => {}) : 'x' }")
    await tab.evaluate("""
      window.late = true;
      document.body.onclick = () => mail.open('M1').catch((error) => { window.why = error.message; });
      null;
    """)
    async with tab.expect_popup() as waiting:
        await tab.evaluate("document.body.click()")
    window = await waiting.value
    await tab.clock.run_for(21_000)
    await until(tab, "window.why")
    if not window.is_closed():
        await window.wait_for_event("close")
    assert await tab.evaluate("why") == "no ticket in time"


async def test_a_click_is_no_mail(tab: Page, edge: ScriptedEdge) -> None:
    """``onclick = mail.open`` opens the inbox."""
    await begin(tab, edge)
    await tab.evaluate("document.body.onclick = mail.open; null")
    async with tab.expect_popup() as waiting:
        await tab.evaluate("document.body.click()")
    await (await waiting.value).wait_for_url("**/mail/open*")
    assert [path for _, path, _ in edge.asked] == ["/exmail/mail/open"]
