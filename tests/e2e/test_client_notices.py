"""What is said outside of a page's own text: desktop notifications, one a mail, and the badge for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from bridge.edge.scripts import read_scripts
from tests.support.client_tab import RECORD, begin, come_back, frozen, until
from tests.support.oa_tabs import Oa, is_open, running_oa, stands_at
from tests.support.processes import free_port
from tests.support.scripted_edge import EPOCH, PAGE, ScriptedEdge, event, snapshot
from tests.support.stage import mail
from tests.support.waiting import until as until_true

DESKTOP = """
  window.notices = [];
  window.Notification = class {
    static permission = 'granted';
    static requestPermission() { asked += 1; return Promise.resolve(Notification.permission); }
    constructor(title, options) { Object.assign(this, { title, open: true }, options); notices.push(this); }
    close() { this.open = false; }
  };
  window.asked = 0;
"""
"""A desktop that writes down what it is to show."""
SHOWN = "notices.filter((each) => each.open).map((each) => [each.title, each.body || null])"


@pytest_asyncio.fixture(loop_scope="session")
async def desk(tab: Page) -> Page:
    """A tab in English on such a desktop."""
    await tab.add_init_script(DESKTOP)
    await tab.reload()
    return tab


def from_ann(seq: int, **data: Any) -> dict[str, Any]:
    made = event(seq)
    made["data"] |= {"sender": "Ann <ann@gzdev.com>", "mail_subject": "Lunch?"} | data
    return made


async def notices(tab: Page, count: int) -> list[list[str | None]]:
    """Let what comes together come together, and return what is shown."""
    await until(tab, f"mail.position === '{EPOCH}-{count}'")
    await tab.clock.run_for(1000)
    shown: list[list[str | None]] = await tab.evaluate(SHOWN)
    return shown


@pytest.mark.parametrize(
    ("mode", "lang", "shown"),
    [
        ("count", "en", ["7 unread mails", None]),
        ("count", "zh-CN", ["7 封未读邮件", None]),
        ("sender", "en", ["Mail from \u2068Ann <ann@gzdev.com>\u2069", None]),
        ("sender", "zh", ["新邮件：\u2068Ann <ann@gzdev.com>\u2069", None]),
        ("subject", "en", ["\u2068Ann <ann@gzdev.com>\u2069", "\u2068Lunch?\u2069"]),
    ],
)
async def test_as_much_is_told_as_the_page_wants(
    desk: Page, edge: ScriptedEdge, mode: str, lang: str, shown: list[str | None]
) -> None:
    """``count`` tells of nobody, ``sender`` not of what; in the language of the page."""
    await desk.evaluate(f"document.documentElement.lang = '{lang}'")
    connection = await begin(desk, edge, f"{{ notify: '{mode}' }}")
    await connection.say(snapshot(0), from_ann(1, unread=7))
    assert await notices(desk, 1) == [shown]


async def test_foreign_text_turns_nothing_round(desk: Page, edge: ScriptedEdge) -> None:
    """Controls of direction are taken out, and what is left is isolated."""
    connection = await begin(desk, edge, "{ notify: 'subject' }")
    await connection.say(snapshot(0), from_ann(1, sender="\u202eevil\u2069", mail_subject=None))
    assert await notices(desk, 1) == [["\u2068evil\u2069", "\u2068\u2069"]]


async def test_of_a_sender_that_is_kept_back_nothing_is_told(desk: Page, edge: ScriptedEdge) -> None:
    """``BRIDGE_PRIVACY=count``: how many mails are unread, and no empty name."""
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), event(1, unread=7))
    assert await notices(desk, 1) == [["7 unread mails", None]]


async def test_nobody_is_notified_who_did_not_ask(desk: Page, edge: ScriptedEdge) -> None:
    """Without the option, and without the permission, which is asked for when the page calls for it and not before."""
    connection = await begin(desk, edge)
    await connection.say(snapshot(0), event(1))
    assert await notices(desk, 1) == []
    await desk.evaluate("mail.close(); Notification.permission = 'denied'")
    connection = await begin(desk, edge, "{ notify: 'count' }")
    await connection.say(snapshot(1), event(2))
    assert await notices(desk, 2) == []
    assert await desk.evaluate("asked") == 0
    assert await desk.evaluate("mail.allowNotifications()") is False
    await desk.evaluate("Notification.permission = 'granted'")
    assert await desk.evaluate("mail.allowNotifications()") is True
    assert await desk.evaluate("asked") == 2


async def test_where_there_is_no_desktop(tab: Page, edge: ScriptedEdge) -> None:
    """On plain http, to begin with: ``false``, and mails come all the same."""
    await tab.evaluate("delete window.Notification")
    connection = await begin(tab, edge, "{ notify: 'count' }")
    await connection.say(snapshot(0), event(1))
    await until(tab, "mail.unread === 1")
    await tab.clock.run_for(1000)
    assert await tab.evaluate("mail.allowNotifications()") is False
    assert tab.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_where_a_page_may_not_notify_by_itself(desk: Page, edge: ScriptedEdge) -> None:
    """Chrome on Android gives the permission and throws: nothing is kept for later, and the page has no error."""
    await desk.evaluate(
        """window.works = Notification;
        window.Notification = class {
          static permission = 'granted';
          constructor() { throw new TypeError('Illegal constructor'); }
        };
        null"""
    )
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), from_ann(1))
    assert await notices(desk, 1) == []
    assert desk.wrong == []  # type: ignore[attr-defined]  # the fixture's note
    await desk.evaluate("window.Notification = works; null")
    await connection.say(from_ann(2))
    assert await notices(desk, 2) == [["Mail from \u2068Ann <ann@gzdev.com>\u2069", None]]


async def test_what_was_missed_is_one_notification(desk: Page, edge: ScriptedEdge) -> None:
    """Three that came during an absence, and two that are gone for good."""
    connection = await begin(desk, edge, "{ notify: 'subject' }")
    await connection.say(snapshot(0))
    await until(desk, "mail.state === 'open'")
    connection.abort()
    again = await come_back(desk, edge)
    missed = event(4) | {"type": "exmail.mail.missed"}
    missed["data"] |= {"at_least": 2}
    await again.say(snapshot(0, resumed=True), event(1), event(2), event(3), missed)
    assert await notices(desk, 4) == [["5 new mails", None]]


async def test_what_is_read_is_taken_back(desk: Page, edge: ScriptedEdge) -> None:
    """When the count is 0, here or on a phone, nothing is left on the desktop; nor when somebody signs out."""
    connection = await begin(desk, edge, "{ notify: 'count' }")
    await connection.say(snapshot(0), event(1))
    assert len(await notices(desk, 1)) == 1
    read = event(2) | {"type": "exmail.mail.unread"}
    read["data"] |= {"unread": 0}
    await connection.say(read)
    assert await notices(desk, 2) == []
    await connection.say(event(3))
    assert len(await notices(desk, 3)) == 1
    await desk.evaluate("mail.logout()")
    assert await desk.evaluate(SHOWN) == []


@pytest.mark.parametrize("unread", [1, None], ids=["count known", "no count"])
async def test_what_is_about_to_be_said_is_taken_back_too(desk: Page, edge: ScriptedEdge, unread: int | None) -> None:
    """Of a mail that came a moment before somebody signed out, nothing is shown to whoever sits there next."""
    connection = await begin(desk, edge, "{ notify: 'subject' }")
    await connection.say(snapshot(0), from_ann(1, unread=unread))
    await until(desk, f"mail.position === '{EPOCH}-1'")
    await desk.evaluate("mail.logout()")
    await desk.clock.run_for(1000)
    assert await desk.evaluate("notices.length") == 0
    assert "bob@gzdev.com" not in await desk.evaluate("JSON.stringify([localStorage, sessionStorage])")


async def test_a_page_that_connects_again_and_again(desk: Page, edge: ScriptedEdge) -> None:
    """A route a connection, say: what one has shown the next takes back, and the page listens to its tabs once."""
    await desk.evaluate("""
      window.channels = 0;
      window.BroadcastChannel = class extends BroadcastChannel { constructor(name) { super(name); channels += 1; } };
      null""")
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), event(1))
    assert len(await notices(desk, 1)) == 1
    for _ in range(3):
        await desk.evaluate("mail.close()")
        connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(1, unread=0))
    await until(desk, "mail.unread === 0")
    assert await desk.evaluate(SHOWN) == []
    assert await desk.evaluate("channels") == 1


async def test_a_page_that_stays_open_for_weeks(desk: Page, edge: ScriptedEdge) -> None:
    """Nobody reads: the oldest notifications are taken back. Mails do not cease: it is said in between."""
    script = read_scripts(SHOWN_MOST=2, TOGETHER_MOST=2)["client.js"].body.decode()
    edge.pages["/long"] = PAGE.replace("<script src=/exmail/client.js></script>", f"<script>{script}</script>")
    await desk.goto(f"{edge.url}long")
    connection = await begin(desk, edge, "{ notify: 'sender', url: '/exmail/' }")
    await connection.say(snapshot(0))
    for seq in range(1, 4):
        await connection.say(event(seq))
        await notices(desk, seq)
    assert await desk.evaluate("notices.map((each) => each.open)") == [False, True, True]
    for seq in range(4, 8):
        await connection.say(event(seq))
        await until(desk, f"mail.position === '{EPOCH}-{seq}'")
        await desk.clock.run_for(200)
    assert ["3 new mails", None] in await desk.evaluate(SHOWN)


async def test_where_tabs_cannot_speak_to_each_other(desk: Page, edge: ScriptedEdge) -> None:
    """Firefox makes no channel for a page that may not store: mails come all the same, and are announced."""
    await desk.evaluate("window.BroadcastChannel = class { constructor() { throw new Error('insecure'); } }; null")
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), event(1))
    assert len(await notices(desk, 1)) == 1


async def test_a_mail_that_is_opened_is_taken_back_in_every_tab(
    desk: Page, edge: ScriptedEdge, context: BrowserContext
) -> None:
    """Whichever tab notified, and whichever it was opened in; others stay."""
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), event(1))
    await notices(desk, 1)
    await connection.say(event(2))
    assert len(await notices(desk, 2)) == 2
    other = await context.new_page()
    await other.add_init_script(RECORD)
    await other.goto(edge.url)
    await other.evaluate("begin({ notify: 'sender' })")
    await other.evaluate("document.body.onclick = () => mail.open('M1'); null")
    async with other.expect_popup():
        await other.evaluate("document.body.click()")
    await until(desk, f"{SHOWN}.length === 1")
    assert await desk.evaluate("notices.map((each) => [each.tag, each.open])") == [
        ["exmail-bridge M1", False],
        ["exmail-bridge M2", True],
    ]


async def test_a_click_opens_the_mail(desk: Page, edge: ScriptedEdge) -> None:
    """And takes the notification back."""
    connection = await begin(desk, edge, "{ notify: 'sender' }")
    await connection.say(snapshot(0), event(1))
    await notices(desk, 1)
    async with desk.expect_popup() as waiting:
        await desk.evaluate("notices[0].onclick()")
    await (await waiting.value).wait_for_url("**/mail/open?mailid=M1")
    assert await desk.evaluate(SHOWN) == []


async def test_a_page_that_is_loaded_anew_does_not_notify_again(desk: Page, edge: ScriptedEdge) -> None:
    """Of what this browser's person was notified of before, by whichever page."""
    for after, seqs in ((0, (1, 2)), (0, (1, 2, 3))):
        await desk.reload()
        connection = await begin(desk, edge, f"{{ notify: 'sender', after: '{EPOCH}-{after}' }}")
        await connection.say(snapshot(after, resumed=True))
        for seq in seqs:
            await connection.say(event(seq))
            shown = await notices(desk, seq)
    assert len(shown) == 1


# -- over all tabs


@pytest_asyncio.fixture(loop_scope="session")
async def oa(redis_url: str, context: BrowserContext) -> AsyncIterator[Oa]:
    """Pages and edge on one port, Bob signed in, a desktop that writes down what it shows."""
    port = free_port()
    await context.add_init_script(DESKTOP)
    async with running_oa(redis_url, context, f"http://127.0.0.1:{port}", port=port) as oa:
        await oa.sign_in()
        yield oa


async def all_shown(tabs: list[Page]) -> int:
    return sum([len(await tab.evaluate("notices")) for tab in tabs])


@pytest.mark.parametrize(("many", "wanted"), [(10, ""), (4, "mailboxes: '*'")], ids=["one mailbox", "all"])
async def test_one_notification_a_mail_over_all_tabs(oa: Oa, many: int, wanted: str) -> None:
    """Ten tabs of one person: one of them notifies; when that is closed, another one does."""
    tabs = [await oa.tab(options=f"{{ notify: 'sender', {wanted} }}") for _ in range(many)]
    for tab in tabs:
        await is_open(tab)
    for number in range(1, 4):
        await oa.writer.commit([mail(f"B{number}", number)])
        for tab in tabs:
            await stands_at(tab, f"B{number}")

        async def has_shown() -> bool:
            return await all_shown(tabs) > 0

        await until_true(has_shown)
        told = [await tab.evaluate("notices.map((each) => each.tag)") for tab in tabs]
        assert [each for each in told if each] == [[f"exmail-bridge B{number}"]]
        speaker = tabs[[bool(each) for each in told].index(True)]
        tabs.remove(speaker)
        await speaker.close()


async def test_a_tab_that_is_frozen_does_not_keep_it_back(edge: ScriptedEdge, context: BrowserContext) -> None:
    """Whoever was to notify and does not say that it did, is not waited for; thawed it says nothing of it any more."""
    edge.pings_every_ms = 500
    await context.add_init_script(RECORD)
    await context.add_init_script(DESKTOP)
    tabs = []
    for _ in range(2):
        page = await context.new_page()
        await page.goto(edge.url)
        await page.evaluate("begin({ shared: true, notify: 'sender' })")
        tabs.append(page)
        if len(tabs) == 1:
            connection = await edge.connection()
            await connection.say(snapshot(0))
        await until(page, "mail.state === 'open'")
    first, second = tabs
    async with frozen(first):
        await connection.say(event(1))
        await until(second, "notices.length === 1")
    await until(first, f"mail.position === '{EPOCH}-1'")
    await connection.say(event(2))
    await until_true(lambda: shows(tabs, "exmail-bridge M2"))
    assert sorted([tag for tab in tabs for tag in await tab.evaluate("notices.map((each) => each.tag)")]) == [
        "exmail-bridge M1",
        "exmail-bridge M2",
    ]


async def shows(tabs: list[Page], tag: str) -> bool:
    return any([tag in await tab.evaluate("notices.map((each) => each.tag)") for tab in tabs])


# -- the badge


async def test_a_badge_is_for_those_who_do_not_see_it(tab: Page, edge: ScriptedEdge) -> None:
    """It has a name in words, and a change is said politely; from a hundred on it says that it is many."""
    badge = tab.locator("#badge")
    connection = await begin(tab, edge, "{ badge: '#badge' }")
    await connection.say(snapshot(0, unread=0), event(1))
    await expect(badge).to_have_text("1")
    await expect(badge).to_have_attribute("aria-label", "1 unread mail")
    await expect(badge).to_have_attribute("role", "status")
    await connection.say(event(2, unread=99))
    await expect(badge).to_have_text("99")
    await tab.evaluate("document.documentElement.lang = 'zh-CN'")
    await connection.say(event(3, unread=100))
    await expect(badge).to_have_text("99+")
    await expect(badge).to_have_attribute("aria-label", "100 封未读邮件")
    await connection.say(snapshot(3, unread=0))
    await expect(badge).to_have_text("")
    await expect(badge).to_have_attribute("aria-label", "")


async def test_a_badge_may_say_more_and_be_something_else(tab: Page, edge: ScriptedEdge) -> None:
    """``badgeMost`` is where "many" begins; a role that the page gave stays."""
    edge.pages["/"] = PAGE.replace("<b id=badge>", "<b id=badge role=note>")
    await tab.reload()
    connection = await begin(tab, edge, "{ badge: '#badge', badgeMost: 999 }")
    await connection.say(snapshot(1, unread=998))
    await expect(tab.locator("#badge")).to_have_text("998")
    await expect(tab.locator("#badge")).to_have_attribute("role", "note")
    await connection.say(event(2, unread=1000))
    await expect(tab.locator("#badge")).to_have_text("999+")


async def test_there_is_no_other_way_to_notify(tab: Page, edge: ScriptedEdge) -> None:
    """A wrong word is an error where the page's line is."""
    assert (
        await tab.evaluate(
            "(() => { try { ExmailBridge.connect({ notify: 'loud' }); } catch (error) { return error.name; } })()"
        )
        == "TypeError"
    )
    assert edge.opened.empty()
