"""One tab, several pages: what ``/client.js`` keeps from one to the next, in frames, and over "back"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from playwright.async_api import Browser, Frame, Page, async_playwright

from tests.support.client_tab import RECORD, begin, told, until
from tests.support.scripted_edge import EPOCH, PAGE, Connection, ScriptedEdge, event, snapshot
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def browser(whole_browser: Browser) -> Browser:
    """What a browser keeps from other sites' frames is no affair of the engine."""
    return whole_browser


async def test_a_page_that_is_left_and_found_again(tab: Page, edge: ScriptedEdge) -> None:
    """A page in the back/forward cache holds no connection; when it returns, it continues."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(2))
    await until(tab, "mail.state === 'open'")
    await tab.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await asyncio.wait_for(connection.left.wait(), PATIENCE_S)
    await tab.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await tab.clock.run_for(1)
    again = await edge.connection()
    assert again.query == {"after": f"{EPOCH}-2"}


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


async def begin_in(frame: Frame, tab: Page, edge: ScriptedEdge) -> Connection:
    await frame.evaluate("begin({ storage: true })")
    await tab.clock.run_for(1)
    return await edge.connection()


@pytest.mark.parametrize(
    "html",
    [
        PAGE + "<iframe src=/one></iframe><iframe src=/two></iframe>",
        "<!doctype html><title>x</title><frameset cols='50%,50%'><frame src=/one><frame src=/two></frameset>",
    ],
    ids=["iframes", "frameset"],
)
async def test_each_frame_of_a_tab_has_a_place_of_its_own(tab: Page, edge: ScriptedEdge, html: str) -> None:
    """What one frame was told another was not: a frame that loads anew continues from its own place."""
    edge.pages |= {"/": html, "/one": PAGE, "/two": PAGE}
    await tab.goto(edge.url)
    one, two = tab.frames[1:]
    first = await begin_in(one, tab, edge)
    second = await begin_in(two, tab, edge)
    assert (first.query, second.query) == ({}, {})
    for connection, seq in ((first, 3), (second, 8)):
        await connection.say(snapshot(seq))
    await one.wait_for_function("mail.position")
    await two.wait_for_function("mail.position")
    for frame, name, after in ((one, "one", f"{EPOCH}-3"), (two, "two", f"{EPOCH}-8")):
        await frame.goto(f"{edge.url}{name}")
        assert (await begin_in(frame, tab, edge)).query == {"after": after}


async def test_a_frame_and_its_top_page_have_two_places(tab: Page, edge: ScriptedEdge) -> None:
    """The same for the page around it; two connections of one page too."""
    edge.pages |= {"/": PAGE + "<iframe src=/one></iframe>", "/one": PAGE}
    await tab.goto(edge.url)
    places = []
    for frame in (*tab.frames, tab.main_frame):
        connection = await begin_in(frame, tab, edge)
        assert connection.query == {}
        await connection.say(snapshot(len(places)))
        await frame.wait_for_function("mail.position")
        places.append(connection)
    assert await tab.evaluate("Object.values(sessionStorage).sort()") == [f"{EPOCH}-{each}" for each in range(3)]


async def test_where_storage_is_refused_it_begins_anew(tab: Page, edge: ScriptedEdge) -> None:
    """In a frame on another site's page, to begin with: what is around it throws at every look, the storage too."""
    edge.pages |= {"/": f"<!doctype html><title>x</title><iframe src={edge.url}one></iframe>", "/one": PAGE}
    await tab.goto(edge.url.replace("127.0.0.1", "localhost"))
    for _ in range(2):
        frame = tab.frames[1]
        connection = await begin_in(frame, tab, edge)
        assert connection.query == {}
        await connection.say(snapshot(3), event(4))
        await frame.wait_for_function("mail.unread === 4")
        await frame.goto(f"{edge.url}one")
    assert tab.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_back_to_a_page_does_not_announce_again(edge: ScriptedEdge, require_binary: Callable[[str], str]) -> None:
    """A page from the real back/forward cache goes on where the next page of its tab was, with ``storage``."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require_binary("chromium"),
            timeout=PATIENCE_S * 1000,
            args=["--no-sandbox", "--disable-gpu"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        tab = await browser.new_page()
        tab.set_default_timeout(PATIENCE_S * 1000)
        await tab.add_init_script(RECORD)
        edge.pages["/next"] = PAGE
        await tab.goto(edge.url)
        await tab.evaluate("begin({ storage: true }); window.first = true")
        connection = await edge.connection()
        await connection.say(snapshot(2))
        await until(tab, "mail.position")
        await tab.goto(f"{edge.url}next")
        await asyncio.wait_for(connection.left.wait(), PATIENCE_S)
        await tab.evaluate("begin({ storage: true })")
        connection = await edge.connection()
        assert connection.query == {"after": f"{EPOCH}-2"}
        await connection.say(snapshot(2, resumed=True), event(3))
        await until(tab, "mail.unread === 3")
        await tab.go_back(wait_until="commit")
        again = await edge.connection()
        assert await tab.evaluate("window.first"), "the browser kept no page"
        assert again.query == {"after": f"{EPOCH}-3"}
        await again.say(snapshot(3, resumed=True), event(4))
        await until(tab, "mail.unread === 4")
        assert [data["mail_id"] for data in await told(tab, "mail")] == ["M4"]
        await browser.close()
