"""Who may, seen from ``/client.js``: tickets, refusals, another person, signing out."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.client_tab import begin, come_back, told, until, waits
from tests.support.scripted_edge import EPOCH, ScriptedEdge, closing, event, snapshot

SHOWN = "{ title: true, badge: '#badge', storage: true }"
ANN = {"mailbox": "ann@gzdev.com", "position": "bbbbbbbb-0"}


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
    again = await come_back(tab, edge)
    assert again.query == {"after": f"{EPOCH}-1", "ticket": "ticket3"}


async def shows_nothing(tab: Page) -> None:
    await expect(tab).to_have_title("Inbox")
    await expect(tab.locator("#badge")).to_have_text("")


async def test_only_a_text_is_a_ticket(tab: Page, edge: ScriptedEdge) -> None:
    """Where a ``ticket`` option is, the browser's cookie, which may be another person's, never decides."""
    await tab.evaluate("window.tickets = ['one', '', undefined, null, '  ', 7, {}, { ticket: 'x' }, ['x'], 'two']")
    connection = await begin(tab, edge, "{ ticket: async () => tickets.shift() }")
    assert connection.query == {"ticket": "one"}
    connection.abort()
    assert await waits(tab) == 500
    for rounds in range(8):
        await tab.clock.run_for(500 * 2**rounds)
        await until(tab, f"told.filter(each => each[1] === 'waiting').length === {rounds + 2}")
        assert await tab.evaluate("told.filter(each => each[1] === 'waiting').pop()[2].code") == 3009
    assert edge.opened.empty()
    connection = await come_back(tab, edge)
    assert connection.query == {"ticket": "two"}


@pytest.mark.parametrize(
    ("refusal", "longest"),
    [("{ status: 401 }", 600_000), ("{ status: 403 }", 600_000), ("{ status: 502 }", 30_000), ("undefined", 30_000)],
)
async def test_without_a_ticket_it_asks_ever_more_seldom(
    tab: Page, edge: ScriptedEdge, refusal: str, longest: int
) -> None:
    """Nobody is signed in: up to ten minutes, because somebody must do something first. Else up to half a minute."""
    await tab.evaluate(f"begin({{ ticket: () => Promise.reject({refusal}) }})")
    await tab.clock.run_for(1)
    told_waits = [await waits(tab)]
    for rounds in range(12):
        await tab.clock.run_for(told_waits[-1])
        await until(tab, f"told.filter(each => each[1] === 'waiting').length === {rounds + 2}")
        told_waits.append(await waits(tab))
    assert told_waits == [min(longest, 500 * 2**each) for each in range(13)]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
@pytest.mark.parametrize(("options", "first"), [("", 30_000), (", ticket: async () => 'fresh'", 500)])
async def test_a_refused_credential_may_be_better_next_time(
    tab: Page, edge: ScriptedEdge, transport: str, options: str, first: int
) -> None:
    """3009: a fresh ticket is there in a moment, a cookie is waited for as the edge asks; up to ten minutes."""
    connection = await begin(tab, edge, f"{{ transport: '{transport}'{options} }}")
    told_waits = []
    for _ in range(12):
        await connection.say(closing(3009, 30_000))
        told_waits.append(await waits(tab))
        await tab.clock.run_for(told_waits[-1])
        connection = await edge.connection()
    assert told_waits == [max(first, min(600_000, 500 * 2**each)) for each in range(12)]
    await connection.say(snapshot(1))
    await until(tab, "mail.state === 'open'")


async def test_an_invalid_token_is_for_ever_unless_a_ticket_may_help(tab: Page, edge: ScriptedEdge) -> None:
    """After 3500 whoever has a ``ticket`` option comes back with the next one."""
    await tab.evaluate("window.n = 0")
    connection = await begin(tab, edge, "{ ticket: async () => `ticket${n += 1}` }")
    await connection.close(3500)
    assert (await come_back(tab, edge)).query == {"ticket": "ticket2"}


async def test_a_token_that_ends_at_once_is_no_loop(tab: Page, edge: ScriptedEdge) -> None:
    """3005 right after the snapshot, again and again: ever more seldom, up to ten minutes."""
    connection = await begin(tab, edge, SHOWN)
    told_waits = []
    for _ in range(12):
        await connection.say(snapshot(1, unread=5))
        await until(tab, "mail.state === 'open'")
        await connection.close(3005)
        told_waits.append(await waits(tab))
        await tab.clock.run_for(told_waits[-1])
        connection = await edge.connection()
    assert told_waits == [min(600_000, 500 * 2**each) for each in range(12)]


@pytest.mark.parametrize("code", [3005, 3009, 3500, 3507])
async def test_who_is_not_let_in_sees_no_number(tab: Page, edge: ScriptedEdge, code: int) -> None:
    """A count belongs to somebody: while nobody is proved to be here there is none, in title, badge and handlers."""
    connection = await begin(tab, edge, SHOWN)
    await connection.say(snapshot(1, unread=5))
    await expect(tab).to_have_title("(5) Inbox")
    connection.abort()
    again = await come_back(tab, edge)
    await expect(tab).to_have_title("(5) Inbox")
    await again.close(code)
    await until(tab, "mail.state === 'waiting' || mail.state === 'closed'")
    await shows_nothing(tab)
    assert await told(tab, "unread") == [5, None]
    await tab.evaluate("mail.reconnect()")
    again = await edge.connection()
    assert again.query == {"after": f"{EPOCH}-1"}
    await again.say(snapshot(1, resumed=True, unread=5))
    await expect(tab).to_have_title("(5) Inbox")


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_session_that_was_ended_leaves_nothing(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """3503: no count, no position, not in storage either; nothing comes back by itself."""
    connection = await begin(tab, edge, SHOWN.replace("{", f"{{ transport: '{transport}',"))
    await connection.say(snapshot(1, unread=5), event(2))
    await expect(tab).to_have_title("(2) Inbox")
    await connection.say(closing(3503, 3_600_000))
    await until(tab, "mail.state === 'closed'")
    await shows_nothing(tab)
    assert await tab.evaluate("[mail.unread, mail.position, mail.mailbox, sessionStorage.length]") == [
        None,
        None,
        None,
        0,
    ]
    await tab.evaluate("dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange'))")
    await tab.clock.run_for(4_000_000)
    assert edge.opened.empty()
    await tab.evaluate("mail.reconnect()")
    assert (await edge.connection()).query == {}


async def test_another_mailbox_begins_with_nothing_of_the_first(tab: Page, edge: ScriptedEdge) -> None:
    """The cookie names somebody else: said before anything of him is shown, and nothing of the first is left."""
    connection = await begin(tab, edge, SHOWN)
    look = "[data.mailbox, data.resumed, mail.unread, document.title, document.querySelector('#badge').textContent]"
    await tab.evaluate(f"window.seen = []; mail.on('snapshot', (data) => seen.push({look})); null")
    await connection.say(snapshot(9, unread=9))
    await expect(tab).to_have_title("(9) Inbox")
    connection.abort()
    again = await come_back(tab, edge)
    await again.say(snapshot(0, unread=2, as_of=5, **ANN))
    await expect(tab).to_have_title("(2) Inbox")
    assert (await tab.evaluate("seen"))[1] == ["ann@gzdev.com", False, 2, "Inbox", ""]
    assert await told(tab, "unread") == [9, None, 2]
    assert await tab.evaluate("[mail.mailbox, mail.position]") == ["ann@gzdev.com", "bbbbbbbb-0"]


async def test_another_mailbox_is_never_a_continuation(tab: Page, edge: ScriptedEdge) -> None:
    """Should an edge say ``resumed`` with another mailbox, nothing of it is shown: the mailbox is opened anew."""
    connection = await begin(tab, edge, SHOWN)
    await connection.say(snapshot(9, unread=9))
    await until(tab, "mail.state === 'open'")
    connection.abort()
    again = await come_back(tab, edge)
    await again.say(snapshot(9, resumed=True, unread=2, mailbox="ann@gzdev.com"), event(10))
    anew = await edge.connection()
    assert anew.query == {}
    assert await told(tab, "mail") == []
    await shows_nothing(tab)


async def test_signing_out(tab: Page, context: BrowserContext, edge: ScriptedEdge) -> None:
    """``logout()`` has the edge end the cookie's session, ends the page's connections, leaves nothing of them."""
    await context.add_cookies([{"name": "exmail_bridge", "value": "signed", "url": edge.url, "httpOnly": True}])
    first = await begin(tab, edge, SHOWN)
    await tab.evaluate(
        f"window.other = record(ExmailBridge.connect({SHOWN.replace('{', '{ mailbox: `ann@gzdev.com`,')}))"
    )
    await tab.clock.run_for(1)
    second = await edge.connection()
    await first.say(snapshot(1, unread=5))
    await second.say(snapshot(0, unread=2, as_of=5, **ANN))
    await expect(tab).to_have_title("(7) Inbox")
    assert await tab.evaluate("mail.logout()") is True
    assert edge.asked == [("POST", "/exmail/logout", "exmail_bridge=signed")]
    assert await tab.evaluate("[mail.state, other.state, mail.unread, mail.position, sessionStorage.length]") == [
        *("closed", "closed", None, None, 0)
    ]
    await shows_nothing(tab)
    await first.left.wait()
    await second.left.wait()


@pytest.mark.parametrize(("status", "options"), [(401, "{}"), (204, "{ ticket: async () => 'x' }")])
async def test_signing_out_says_if_the_edge_was_not_told(
    tab: Page, edge: ScriptedEdge, status: int, options: str
) -> None:
    """``false``: the edge refused, or there is no cookie that decides and the OA's back end must say it."""
    edge.logout_status = status
    await begin(tab, edge, options)
    assert await tab.evaluate("mail.logout()") is False
    assert len(edge.asked) == (0 if "ticket" in options else 1)
    assert await tab.evaluate("mail.state") == "closed"
