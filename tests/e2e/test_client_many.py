"""``mailboxes: '*'`` of ``/client.js`` in a real Chromium: all mailboxes of a token over one connection."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page

from bridge.edge.pace import Pace
from bridge.journal.calls import Advance
from tests.support.client_tab import begin, come_back, told, until
from tests.support.oa_tabs import is_open, running_oa, stands_at
from tests.support.oa_tabs import told as told_by_edge
from tests.support.processes import free_port
from tests.support.scripted_edge import ScriptedEdge, event, snapshot
from tests.support.stage import ANN, BOB, count, mail
from tests.support.waiting import until as until_true

EPOCHS = {BOB: "aaaaaaaa", ANN: "bbbbbbbb"}
ALL = "{ mailboxes: '*', title: true, badge: '#badge', transport: '%s' }"

transports = pytest.mark.parametrize("transport", ["websocket", "sse"])


def begun(mailbox: str, seq: int, **data: Any) -> dict[str, Any]:
    return snapshot(seq, **({"position": f"{EPOCHS[mailbox]}-{seq}", "mailbox": mailbox} | data))


def came(mailbox: str, seq: int, **data: Any) -> dict[str, Any]:
    each = event(seq, epoch=EPOCHS.get(mailbox, mailbox), **data)
    each["data"]["mailbox"] = mailbox
    return each | {"subject": mailbox}


@transports
async def test_the_count_is_the_sum_of_all(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """Title and badge too; each mailbox has its own, and its own age."""
    connection = await begin(tab, edge, ALL % transport)
    assert connection.query == {"mailbox": "*"}
    await connection.say(begun(BOB, 0, unread=3, as_of=9000), begun(ANN, 0, unread=None))
    await until(tab, "mail.unread === 3")
    assert await tab.evaluate("mail.counts") == {BOB: 3, ANN: None}
    await connection.say(came(ANN, 1, unread=4, as_of=5000), came(BOB, 1, unread=7, as_of=8000))
    await until(tab, "told.filter(each => each[0] === 'mail').length === 2")
    assert await tab.evaluate("mail.counts") == {BOB: 3, ANN: 4}
    assert await tab.evaluate("[mail.unread, document.title, badge.textContent]") == [7, "(7) Inbox", "7"]
    assert [data["mailbox"] for data in await told(tab, "mail")] == [ANN, BOB]
    assert await tab.evaluate("mail.mailbox") == "*"
    assert edge.opened.empty()


@transports
async def test_all_positions_are_kept(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """It comes back with the newest of each and hands nothing on twice; what begins anew replaces its own alone."""
    connection = await begin(tab, edge, ALL % transport)
    await connection.say(begun(BOB, 3), begun(ANN, 5), came(ANN, 6), came(BOB, 4), came(ANN, 7))
    await until(tab, "told.filter(each => each[0] === 'mail').length === 3")
    connection.abort()
    again = await come_back(tab, edge)
    assert sorted(again.query["after"].split(",")) == ["aaaaaaaa-4", "bbbbbbbb-7"]
    anew = begun(ANN, 0, position="cccccccc-0", reason="epoch")
    await again.say(begun(BOB, 4, resumed=True), came(BOB, 4), came(BOB, 5), anew)
    ann = came(ANN, 1) | {"id": "cccccccc-1"}
    await again.say(ann)
    await until(tab, "mail.position.includes('cccccccc-1')")
    assert sorted((await tab.evaluate("mail.position")).split(",")) == ["aaaaaaaa-5", "cccccccc-1"]
    assert [each["id"] for each in await told(tab, "event")] == [
        *("bbbbbbbb-6", "aaaaaaaa-4", "bbbbbbbb-7"),
        *("aaaaaaaa-5", "cccccccc-1"),
    ]


async def test_what_a_page_has_of_long_ago_does_not_pile_up(tab: Page, edge: ScriptedEdge) -> None:
    """Positions of mailboxes that are not there any more leave the text; those that are there stay."""
    old = ",".join(f"old{number:05}-1" for number in range(60))
    connection = await begin(tab, edge, f"{{ mailboxes: '*', after: '{old}' }}")
    mailboxes = [f"u{number}@gzdev.com" for number in range(21)]
    for number, mailbox in enumerate(mailboxes):
        await connection.say(snapshot(0, mailbox=mailbox, position=f"new{number:05}-0"))
    await until(tab, "mail.position.includes('new00020-0')")
    text = await tab.evaluate("mail.position")
    assert len(text) < 600
    assert all(f"new{number:05}-0" in text for number in range(21))


async def test_one_that_is_withdrawn_leaves_the_others(tab: Page, edge: ScriptedEdge) -> None:
    """Its count goes, the page is told, and nothing else happens."""
    connection = await begin(tab, edge, "{ mailboxes: '*' }")
    await connection.say(begun(BOB, 0, unread=3), begun(ANN, 0, unread=2))
    await until(tab, "mail.unread === 5")
    gone = {"mailbox": BOB, "code": 3507, "reason": "not allowed"}
    await connection.say({"type": "exmail.withdrawn", "data": gone})
    await until(tab, "mail.unread === 2")
    assert await told(tab, "withdrawn") == [gone]
    assert await tab.evaluate("[mail.state, Object.keys(mail.counts)]") == ["open", [ANN]]


async def test_another_session_begins_anew(tab: Page, edge: ScriptedEdge) -> None:
    """Nothing of who was here before stays: no count, no place; a mailbox that both may see is asked for afresh."""
    connection = await begin(tab, edge, "{ mailboxes: '*' }")
    await connection.say(begun(BOB, 1, unread=3), begun(ANN, 1, unread=2))
    await until(tab, "mail.unread === 5")
    connection.abort()
    again = await come_back(tab, edge)
    await again.say(begun(ANN, 1, resumed=True, unread=2, session="of ann"))
    fresh = await edge.connection()
    assert fresh.query == {"mailbox": "*"}
    await fresh.say(begun(ANN, 1, unread=2, session="of ann"))
    await until(tab, "mail.state === 'open'")
    assert await tab.evaluate("mail.counts") == {ANN: 2}


async def test_a_mail_is_opened_in_its_mailbox(tab: Page, edge: ScriptedEdge) -> None:
    """The second value says in which; without it the token's first."""
    connection = await begin(tab, edge, "{ mailboxes: '*' }")
    await connection.say(begun(BOB, 0))
    await until(tab, "mail.state === 'open'")
    for call, query in (
        ("mail.open('M1', 'ann@gzdev.com')", "mailbox=ann%40gzdev.com&mailid=M1"),
        ("mail.open('M2')", "mailid=M2"),
    ):
        async with tab.context.expect_page() as opening:
            await tab.evaluate(call)
        opened = await opening.value
        await opened.wait_for_url("**/mail/open*")
        assert sorted(opened.url.rpartition("?")[2].split("&")) == sorted(query.split("&"))


async def test_any_other_value_is_refused(tab: Page) -> None:
    """A list looks as if it chose some."""
    assert (
        await tab.evaluate("try { ExmailBridge.connect({ mailboxes: ['a@b.c'] }) } catch (e) { e.name }") == "TypeError"
    )


@pytest.mark.asyncio(loop_scope="session")
@transports
async def test_before_a_real_edge(redis_url: str, context: BrowserContext, transport: str) -> None:
    """Over a cut nothing is lost and nothing told twice, of either mailbox; one that is barred leaves the other."""
    port = free_port()
    pace = Pace(tops_s=0.5)  # The journal alone says who is barred: the edge finds it when it compares.
    async with running_oa(redis_url, context, f"http://127.0.0.1:{port}", port=port, pace=pace) as oa:
        await oa.sign_in(BOB, sid="s1", mailboxes=[ANN])
        tab = await oa.tab(options=f"{{ mailboxes: '*', transport: '{transport}' }}")
        await is_open(tab)
        await oa.writer.commit([mail("B1", 2), mail("A1", 5, ANN)])
        await stands_at(tab, "A1")
        await tab.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        await until_true(lambda: oa.open() == 0)
        await oa.writer.commit([mail("A2", 6, ANN), mail("B2", 3)])
        await tab.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await stands_at(tab, "A2")
        await stands_at(tab, "B2")
        assert sorted(each for each in await told_by_edge(tab) if each[:2] in ("A1", "A2", "B1", "B2")) == [
            *("A1", "A2", "B1", "B2"),
        ]
        assert f"{BOB} true" in await told_by_edge(tab)
        assert f"{ANN} true" in await told_by_edge(tab)
        assert await tab.evaluate("[mail.unread, mail.counts]") == [9, {BOB: 3, ANN: 6}]
        await oa.writer.commit([Advance(None, None, barred=[BOB])])
        await tab.wait_for_function("mail.unread === 6")
        await oa.writer.commit([count(1, ANN)])
        await tab.wait_for_function("mail.unread === 1")
        assert await tab.evaluate("mail.state") == "open"
        await until_true(lambda: oa.open() == 1)
