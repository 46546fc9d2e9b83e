"""The worker that tabs share, against an edge that does what a test says: leases, bounds, policies, two releases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from bridge.edge.scripts import read_scripts
from tests.support.client_tab import RECORD, frozen, told, until
from tests.support.hidden_tabs import hidden_tabs
from tests.support.scripted_edge import EPOCH, PAGE, SCRIPTS, ScriptedEdge, closing, event, snapshot
from tests.support.waiting import PATIENCE_S
from tests.support.waiting import until as until_true

QUICK_MS = 500
"""Between two pings, where a tab is to be let go: after two and a half seconds without an answer."""
NOTES_ANSWERS = """
  window.answered = 0;
  const post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (message) {
    if (message.alive) answered += 1;
    return post.apply(this, arguments);
  };
"""


@pytest_asyncio.fixture(loop_scope="session")
async def sharing(edge: ScriptedEdge, context: BrowserContext) -> ScriptedEdge:
    """An edge whose pages share a connection; who does not answer the worker's pings is let go, but not soon."""
    edge.pings_every_ms = 10_000
    await context.add_init_script(RECORD)
    await context.add_init_script(NOTES_ANSWERS)
    return edge


async def new_tab(
    edge: ScriptedEdge, context: BrowserContext, options: str = "{ shared: true }", path: str = ""
) -> Page:
    tab = await context.new_page()
    await tab.goto(edge.url + path)
    await tab.evaluate(f"begin({options})")
    return tab


async def mails(tab: Page) -> list[str]:
    return [data["mail_id"] for data in await told(tab, "mail")]


async def test_a_frozen_tab_loses_its_lease_and_no_mail(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Who answers no ping is let go, so that nothing piles up; thawed it is told the rest, from its own place."""
    sharing.pings_every_ms = QUICK_MS
    awake = await new_tab(sharing, context)
    connection = await sharing.connection()
    await connection.say(snapshot(0), event(1))
    asleep = await new_tab(sharing, context)
    await until(asleep, "mail.position")
    async with frozen(asleep):
        await connection.say(event(2))
        await awake.evaluate("window.answered = 0")
        await until(awake, "answered > 10")  # twice the lease
        await connection.say(event(3), event(4))
        await until(awake, f"mail.position === '{EPOCH}-4'")
    await until(asleep, f"mail.position === '{EPOCH}-4'")
    assert await mails(asleep) == ["M2", "M3", "M4"]
    reasons = await asleep.evaluate("told.filter((each) => each[1] === 'waiting').map((each) => each[2].reason)")
    assert reasons == ["frozen"]
    assert await mails(awake) == ["M1", "M2", "M3", "M4"]
    assert sharing.opened.empty()


async def test_what_the_browser_freezes_goes_on_where_it_was(
    edge: ScriptedEdge, require_binary: Callable[[str], str], tmp_path: Path
) -> None:
    """The same with the browser's own freezing of a hidden tab: shorter than the lease, and longer."""
    edge.pings_every_ms = QUICK_MS
    async with hidden_tabs(require_binary("chromium"), tmp_path) as chromium:
        hidden = await chromium.tab(edge.url, RECORD + NOTES_ANSWERS)
        await hidden.run("begin({ shared: true })")
        connection = await edge.connection()
        await connection.say(snapshot(0), event(1))
        shown = await chromium.tab(edge.url, RECORD + NOTES_ANSWERS)
        await shown.run("begin({ shared: true })")
        await shown.show()
        await hidden.until("document.visibilityState === 'hidden'")
        await shown.until("mail.position")
        for seq, pongs in ((2, 1), (3, 12)):
            await hidden.become("frozen")
            await shown.run("window.answered = 0")
            await connection.say(event(seq))
            await shown.until(f"answered >= {pongs}")
            assert await shown.run("mail.unread") == seq
            await hidden.become("active")
            await hidden.until(f"mail.unread === {seq}")
        told = "told.filter((each) => each[0] === 'mail').map((each) => each[1].mail_id)"
        assert await hidden.run(told) == ["M1", "M2", "M3"]
        reasons = "told.filter((each) => each[1] === 'waiting').map((each) => each[2].reason)"
        assert await hidden.run(reasons) == ["frozen"]
        assert edge.opened.empty()


async def test_where_every_tab_is_frozen_nothing_stays_open(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Nobody looks: the edge's connection ends, and there is a new one when a tab thaws."""
    sharing.pings_every_ms = QUICK_MS
    tab = await new_tab(sharing, context)
    connection = await sharing.connection()
    await connection.say(snapshot(0), event(1))
    await until(tab, f"mail.position === '{EPOCH}-1'")
    async with frozen(tab):
        await asyncio.wait_for(connection.left.wait(), PATIENCE_S)
    again = await sharing.connection()
    await again.say(snapshot(1, unread=1))
    await until(tab, "mail.state === 'open' && told.filter(each => each[1] === 'open').length === 2")
    assert await mails(tab) == ["M1"]


async def test_what_waits_for_a_tab_is_bounded(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """A tab that takes nothing is owed a megabyte at most, and is let go; one that takes it stays, however much."""
    sharing.pings_every_ms = 600_000
    awake = await new_tab(sharing, context)
    connection = await sharing.connection()
    await connection.say(snapshot(0))
    asleep = await new_tab(sharing, context)
    for tab in (awake, asleep):
        await until(tab, "mail.position")
    async with frozen(asleep):
        for seq in range(1, 20):
            await connection.say(event(seq) | {"padding": "x" * 100_000})
            await until(awake, f"mail.unread === {seq}")
    await until(asleep, "told.some((each) => each[1] === 'waiting' && each[2].reason === 'too slow')")
    assert await told(awake, "state") == ["connecting", "open"]
    assert sharing.opened.empty()


async def test_many_full_mailboxes_are_not_too_much(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """All that a token may name, each with twenty of the longest mails: a tab is told them before it can answer."""
    tab = await new_tab(sharing, context, "{ shared: true, mailboxes: '*' }")
    connection = await sharing.connection()
    recent = [event(seq) | {"padding": "x" * 5_000} for seq in range(1, 21)]
    for number in range(21):
        place = {"mailbox": f"m{number}@gzdev.com", "position": f"epoch{number:03}-20"}
        await connection.say(snapshot(unread=1, recent=recent, **place))
    await until(tab, "mail.unread === 21")
    assert await told(tab, "state") == ["connecting", "open"]
    assert sharing.opened.empty()


@pytest.mark.parametrize(
    "policy", ["script-src 'self' 'unsafe-inline'", "require-trusted-types-for 'script'", "worker-src 'none'"]
)
async def test_policies(sharing: ScriptedEdge, context: BrowserContext, policy: str) -> None:
    """The worker needs ``worker-src``, or what stands in for it, else there is a connection a tab."""
    sharing.policy = policy
    tabs = [await new_tab(sharing, context) for _ in range(2)]
    count = 2 if "none" in policy else 1
    for _ in range(count):
        await (await sharing.connection()).say(snapshot(3, unread=3))
    for tab in tabs:
        await until(tab, "mail.unread === 3")
    assert sharing.opened.empty()


async def test_a_worker_that_cannot_be_loaded_costs_one_request(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """An edge of an older release has none: the tab connects apart."""
    sharing.pings_every_ms = None
    tab = await new_tab(sharing, context)
    await (await sharing.connection()).say(snapshot(3, unread=3))
    await until(tab, "mail.unread === 3")


async def test_another_origin_is_not_shared(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """A browser starts no worker of another origin: the page connects by itself, and asks for no worker."""
    tab = await context.new_page()
    await tab.goto(sharing.url.replace("127.0.0.1", "localhost"))
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    await tab.evaluate(f"begin({{ shared: true, session: 's', ticket: async () => 'x', url: '{sharing.url}exmail/' }})")
    connection = await sharing.connection()
    assert connection.query == {"ticket": "x"}
    await connection.say(snapshot(3, unread=3))
    await until(tab, "mail.unread === 3")
    assert not [url for url in asked if "worker" in url]


async def test_pages_that_ask_for_something_else_do_not_share(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Another mailbox of the token, or another transport: a connection for each, in the same worker."""
    tabs = {}
    for options, path, query in (
        ("{ shared: true }", "/exmail/ws", {}),
        ("{ shared: true, mailbox: 'ann@gzdev.com' }", "/exmail/ws", {"mailbox": "ann@gzdev.com"}),
        ("{ shared: true, transport: 'sse' }", "/exmail/events", {}),
    ):
        tab = await new_tab(sharing, context, options)
        connection = await sharing.connection()
        assert (connection.path, connection.query) == (path, query)
        tabs[tab] = connection
    for count, (tab, connection) in enumerate(tabs.items(), 1):
        await connection.say(snapshot(count, unread=count))
        await until(tab, f"mail.unread === {count}")


async def test_an_edge_that_names_no_session_is_not_shared(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Nobody can tell then if two tabs are one person's."""
    tab = await new_tab(sharing, context)
    shared = await sharing.connection()
    await shared.say(snapshot(3, unread=3, session=None))
    own = await sharing.connection()
    await own.say(snapshot(3, unread=3))
    await until(tab, "mail.unread === 3")
    await shared.left.wait()


async def test_two_releases_do_not_disturb_each_other(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """A tab that was opened before an upgrade keeps its worker, and one from after it has another."""
    old = await new_tab(sharing, context)
    first = await sharing.connection()
    await first.say(snapshot(0), event(1))
    script = SCRIPTS["client.js"].body.decode()
    assert "const VERSION = '" in script
    newer = script.replace("const VERSION = '", "const VERSION = 'next")
    sharing.pages["/newer"] = PAGE.replace("<script src=/exmail/client.js></script>", f"<script>{newer}</script>")
    new = await new_tab(sharing, context, "{ shared: true, url: '/exmail/' }", "newer")
    second = await sharing.connection()
    await second.say(snapshot(1, unread=1))
    await until(new, "mail.unread === 1")
    for connection in (first, second):
        await connection.say(event(2))
    for tab in (old, new):
        await until(tab, f"mail.position === '{EPOCH}-2'")


async def test_a_protocol_of_another_release_is_not_spoken(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Two edges of two releases stand behind one address: a worker of the other one is left alone."""
    sharing.pings_every_ms = QUICK_MS
    other = read_scripts(PROTOCOL=1)["client.js"].body.decode()
    sharing.pages["/other"] = PAGE.replace("<script src=/exmail/client.js></script>", f"<script>{other}</script>")
    tab = await new_tab(sharing, context, "{ shared: true, url: '/exmail/' }", "other")

    async def answer_all() -> None:
        while True:
            connection = await sharing.opened.get()
            with suppress(ConnectionError):  # the worker's, which the tab has left meanwhile
                await connection.say(snapshot(1, unread=1))

    answering = asyncio.create_task(answer_all())
    await until(tab, "mail.unread === 1")
    answering.cancel()


async def test_the_edge_is_asked_once_for_all_who_come(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Whoever joins an open connection is told nothing before somebody has said whose cookie it is now."""
    first = await new_tab(sharing, context)
    connection = await sharing.connection()
    await connection.say(snapshot(1, unread=1))
    await until(first, "mail.unread === 1")
    assert sharing.tickets == 0
    second = await new_tab(sharing, context)
    await until(second, "mail.unread === 1")
    assert sharing.tickets == 1
    sharing.session = "of ann"
    third = await new_tab(sharing, context)
    await connection.left.wait()
    again = await sharing.connection()
    await again.say(snapshot(0, unread=2, mailbox="ann@gzdev.com", position="bbbbbbbb-0", session="of ann"))
    for tab in (first, second, third):
        await until(tab, "mail.unread === 2")
    assert await told(third, "unread") == [2]


async def test_nobody_is_notified_of_anothers_mail(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """Eve has signed in and opens a page that notifies: no mail of Bob's is said there before one knows whose it is."""
    bobs = await new_tab(sharing, context)
    connection = await sharing.connection()
    await connection.say(snapshot(0))
    await until(bobs, "mail.position")
    sharing.session = "of eve"
    sharing.gives_tickets.clear()
    eves = await new_tab(sharing, context, "{ shared: true, notify: 'subject' }")
    await until_true(lambda: sharing.tickets == 1)
    await connection.say(event(1))
    await until(bobs, "mail.unread === 1")
    sharing.gives_tickets.set()
    again = await sharing.connection()
    await again.say(snapshot(0, unread=2, mailbox="eve@gzdev.com", position="bbbbbbbb-0", session="of eve"))
    await until(eves, "mail.unread === 2")
    assert await eves.evaluate("localStorage.length") == 0  # where it would have noted what it has announced


async def test_a_late_answer_is_none_to_the_next_question(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """A page whose back end is slow answers when the worker has given up and asked again: that ticket is an old one."""
    sharing.answers_due_ms = 300
    await new_tab(
        sharing,
        context,
        """{ shared: true, session: 'of bob', ticket: () => {
          if (window.late) late('old');
          return new Promise((resolve) => {
            if (window.late) setTimeout(resolve, 50, 'new');
            else window.late = resolve;
          });
        } }""",
    )
    assert (await sharing.connection()).query == {"ticket": "new"}


async def test_who_opens_a_page_has_signed_in_perhaps(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """While the connection waits for a credential, a new page has it tried at once; a busy edge is left alone."""
    first = await new_tab(sharing, context)
    connection = await sharing.connection()
    for code in (3009, 3013):
        await connection.say(closing(code, 600_000))
        await until(first, f"told.some((each) => each[1] === 'waiting' && each[2].code === {code})")
        joined = await new_tab(sharing, context)
        if code == 3009:
            connection = await sharing.connection()
    await until(joined, "told.some((each) => each[1] === 'waiting' && each[2].code === 3013)")
    assert sharing.opened.empty()


async def test_the_edges_patience_is_one_for_all(sharing: ScriptedEdge, context: BrowserContext) -> None:
    """A busy edge sees one connection come back, not one a tab; each tab is told that it waits, and why."""
    tabs = [await new_tab(sharing, context)]
    connection = await sharing.connection()
    await connection.say(snapshot(1, unread=1))
    tabs += [await new_tab(sharing, context) for _ in range(2)]
    for tab in tabs:
        await until(tab, "mail.unread === 1")
    await connection.say(closing(3013, 300))
    again = await sharing.connection()
    await again.say(snapshot(1, resumed=True, unread=1), event(2))
    for tab in tabs:
        await until(tab, "mail.unread === 2")
        assert await tab.evaluate("told.filter((each) => each[1] === 'waiting').map((each) => each[2].code)") == [3013]
        assert await mails(tab) == ["M2"]
    assert again.query == {"after": f"{EPOCH}-1"}
    assert sharing.opened.empty()
