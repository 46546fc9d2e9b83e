"""``mailboxes: '*'`` in many tabs: one connection of the shared worker, with each mailbox's own place."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from bridge.edge.pace import Pace
from bridge.journal.calls import Advance
from tests.support.client_tab import frozen
from tests.support.oa_tabs import Oa, end_worker, running_oa, stands_at, told, until_told, with_tickets
from tests.support.processes import free_port
from tests.support.stage import ANN, BOB, count, mail
from tests.support.waiting import until

ALL = "{ mailboxes: '*' }"
STORED = "{ mailboxes: '*', storage: true }"
EVE = "eve@gzdev.com"


@pytest_asyncio.fixture(loop_scope="session")
async def oa(redis_url: str, context: BrowserContext) -> AsyncIterator[Oa]:
    """Bob is signed in and may see Ann's mailbox; each has one mail."""
    port = free_port()
    pace = Pace(tops_s=0.5)  # The journal alone says who is barred: the edge finds it when it compares.
    async with running_oa(redis_url, context, f"http://127.0.0.1:{port}", port=port, pace=pace) as oa:
        await oa.sign_in(BOB, sid="s", mailboxes=[ANN])
        await oa.writer.commit([mail("B1", 1), mail("A1", 4, ANN)])
        yield oa


async def all_stand_at(tabs: list[Page], *mail_ids: str) -> None:
    for tab in tabs:
        for mail_id in mail_ids:
            await stands_at(tab, mail_id)


async def mails(tab: Page) -> list[str]:
    """What the page was told of mails, apart from the order of the mailboxes among themselves."""
    every = [each for each in await told(tab) if each.removeprefix("recent ")[:1] in "ABEC"]
    return sorted(every, key=lambda each: each.removeprefix("recent ")[0])


async def begun(tab: Page) -> list[str]:
    return sorted(each for each in await told(tab) if each.endswith((" true", " false")))


async def test_tabs_share_one_connection(oa: Oa) -> None:
    """Each begins with every mailbox's newest mails, those too that come later, and is told each mail once."""
    tabs = [await oa.tab(options=ALL) for _ in range(3)]
    await all_stand_at(tabs, "A1", "B1")
    await oa.writer.commit([mail("B2", 2), mail("A2", 5, ANN)])
    await all_stand_at(tabs, "A2", "B2")
    later = await oa.tab(options=ALL)
    await all_stand_at([later], "A2", "B2")
    await oa.writer.commit([mail("A3", 6, ANN), mail("B3", 3)])
    for tab in (*tabs, later):
        await all_stand_at([tab], "A3", "B3")
        assert await begun(tab) == [f"{ANN} false", f"{BOB} false"]
        assert await tab.evaluate("[mail.mailbox, mail.unread, mail.counts]") == ["*", 9, {BOB: 3, ANN: 6}]
        assert [each.removeprefix("recent ") for each in await mails(tab)] == ["A1", "A2", "A3", "B1", "B2", "B3"]
    assert oa.connects() == 1
    await until(lambda: oa.open() == 1)
    single = await oa.tab()
    await stands_at(single, "B3")
    assert await begun(single) == [f"{BOB} false"]
    await until(lambda: oa.open() == 2)


async def test_a_frozen_tab_goes_on_in_each_mailbox(oa: Oa) -> None:
    """What came meanwhile is told once when it thaws, of either."""
    awake, asleep = await oa.tab(options=ALL), await oa.tab(options=ALL)
    await all_stand_at([awake, asleep], "A1", "B1")
    async with frozen(asleep):
        await oa.writer.commit([mail("B2", 2), mail("A2", 5, ANN)])
        await all_stand_at([awake], "A2", "B2")
    await all_stand_at([asleep], "A2", "B2")
    await oa.writer.commit([mail("B3", 3)])
    await all_stand_at([asleep, awake], "B3")
    for tab in (awake, asleep):
        assert await mails(tab) == ["recent A1", "A2", "recent B1", "B2", "B3"]
    assert oa.connects() == 1


async def test_a_worker_that_is_ended_costs_nothing(oa: Oa, browser: Browser) -> None:
    """The next one gives each tab what it missed of each mailbox, from its own place in it."""
    await oa.context.clock.install()
    tabs = [await oa.tab(options=ALL) for _ in range(2)]
    await all_stand_at(tabs, "A1", "B1")
    await end_worker(browser)
    await until(lambda: oa.open() == 0)
    await oa.writer.commit([mail("A2", 5, ANN), mail("B2", 2), mail("A3", 6, ANN)])
    await oa.context.clock.run_for(41_000)
    await all_stand_at(tabs, "A3", "B2")
    for tab in tabs:
        assert await mails(tab) == ["recent A1", "A2", "A3", "recent B1", "B2"]
        assert await begun(tab) == [f"{each} {how}" for each in (ANN, BOB) for how in ("false", "true")]
        assert await tab.evaluate("mail.unread") == 8
    await until(lambda: oa.open() == 1)


async def test_the_next_page_of_a_tab_continues(oa: Oa) -> None:
    """What no worker has kept is read from the history of each mailbox; a mailbox where nothing came stays as it is."""
    await oa.sign_in(BOB, sid="s", mailboxes=[ANN, EVE])
    tab = await oa.tab(options=STORED)
    await all_stand_at([tab], "A1", "B1")
    await until_told(tab, f"{EVE} false")
    await tab.goto("about:blank")
    await until(lambda: oa.open() == 0)
    await oa.writer.commit([mail("B2", 2), mail("A2", 5, ANN), mail("B3", 3)])
    await tab.goto(f"{oa.url}/oa.html")
    await all_stand_at([tab], "A2", "B3")
    await until_told(tab, f"{EVE} true")
    assert await mails(tab) == ["A2", "B2", "B3"]
    assert await begun(tab) == [f"{ANN} true", f"{BOB} true", f"{EVE} true"]


async def test_what_is_caught_up_with_tickets_takes_one_for_each_mailbox(oa: Oa) -> None:
    """A ticket opens one answer; the tab is asked for one after the other."""
    tab = await oa.tab(options=STORED)
    await all_stand_at([tab], "A1", "B1")
    place = await tab.evaluate("mail.position")
    await tab.evaluate("mail.close()")
    await oa.writer.commit([mail("B2", 2), mail("A2", 5, ANN)])
    given = await with_tickets(oa, tab, options=f"mailboxes: '*', after: '{place}'", mailboxes=[ANN])
    await all_stand_at([tab], "A2", "B2")
    assert await mails(tab) == ["A2", "B2"]
    assert len(given) == len(set(given)) == 3
    await until(lambda: oa.open() == 1)


async def test_a_mailbox_that_an_alias_names_is_caught_up_too(oa: Oa) -> None:
    """Its snapshots and events have the account's name, and by that its history is asked for."""
    alias = "sales@gzdev.com"
    await oa.writer.commit([Advance(None, None, slaves={alias: ANN})])
    await oa.sign_in(BOB, sid="s", mailboxes=[alias])
    tab = await oa.tab(options=STORED)
    await all_stand_at([tab], "A1", "B1")
    await tab.goto("about:blank")
    await until(lambda: oa.open() == 0)
    await oa.writer.commit([mail("B2", 2), mail("A2", 5, ANN)])
    await tab.goto(f"{oa.url}/oa.html")
    await all_stand_at([tab], "A2", "B2")
    assert await mails(tab) == ["A2", "B2"]
    assert oa.connects() == 2
    await until(lambda: oa.open() == 1)


async def test_one_that_is_barred_leaves_the_others(oa: Oa) -> None:
    """Every tab is told that it is withdrawn, one that opens later too, which sees nothing of it."""
    first = await oa.tab(options=ALL)
    await all_stand_at([first], "A1", "B1")
    await oa.writer.commit([Advance(None, None, barred=[BOB])])
    await first.wait_for_function("mail.unread === 4")
    later = await oa.tab(options=ALL)
    await until_told(later, f"withdrawn {BOB} 3507")
    await oa.writer.commit([count(2, ANN)])
    for tab in (first, later):
        await tab.wait_for_function("mail.unread === 2")
        assert await tab.evaluate("[mail.state, mail.counts]") == ["open", {ANN: 2}]
    assert await mails(later) == ["recent A1"]
    assert oa.connects() == 1


@pytest.mark.parametrize(("mailbox", "sid", "further"), [(EVE, "e", []), (BOB, "s", [])], ids=["person", "rights"])
async def test_the_next_session_sees_nothing_of_the_first(oa: Oa, mailbox: str, sid: str, further: list[str]) -> None:
    """Somebody else signs in, or the same person who may see less now: no tab shows anything of what he may not see."""
    await oa.writer.commit([mail("E1", 2, EVE)])
    first = await oa.tab(options=ALL)
    await all_stand_at([first], "A1", "B1")
    await oa.sign_in(mailbox, sid=sid, mailboxes=further)
    second = await oa.tab(options=ALL)
    await second.wait_for_function("mail.state === 'open'")
    await oa.writer.commit([mail("A2", 9, ANN), mail("C1", 3, mailbox)])
    unread = 3
    for tab in (second, first):
        await stands_at(tab, "C1")
        assert await tab.evaluate("[mail.unread, mail.counts]") == [unread, {mailbox: unread}]
    assert {each[-2:] for each in await mails(second)} == ({"E1", "C1"} if mailbox == EVE else {"B1", "C1"})
    assert "A2" not in await told(first)
    await until(lambda: oa.open() == 1)


async def test_signing_out_ends_every_tab(oa: Oa) -> None:
    """The others are told 3503, show nothing and stay closed."""
    tabs = [await oa.tab(options=ALL) for _ in range(2)]
    await all_stand_at(tabs, "A1", "B1")
    assert await tabs[0].evaluate("mail.logout()") is True
    for tab, code in zip(tabs, (1000, 3503), strict=True):
        await until_told(tab, f"closed {code}")
        assert await tab.evaluate("[mail.unread, mail.counts, mail.position]") == [None, {}, None]
    await until(lambda: oa.open() == 0)
