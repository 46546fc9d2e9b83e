"""A ``dev`` that runs for the session, and a real Chromium."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.client_tab import RECORD
from tests.support.dev_program import DevProgram
from tests.support.scripted_edge import ScriptedEdge, scripted_edge
from tests.support.waiting import PATIENCE_S

expect.set_options(timeout=PATIENCE_S * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a browser share one; it lives in one event loop, and so do they."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and {"browser", "edge"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevProgram]:
    """One ``dev`` for all; a test takes a mailbox of its own and leaves no fault behind. Mails come only when told."""
    with DevProgram(tmp_path_factory.mktemp("dev")) as program:
        program.simulator("traffic", {"paused": True})
        yield program


@asynccontextmanager
async def launched(program: str) -> AsyncIterator[Browser]:
    """A Chromium until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, timeout=PATIENCE_S * 1000, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(require_binary: Callable[[str], str]) -> AsyncIterator[Browser]:
    """One Chromium for all: to start it takes longer than most tests.

    Where the system has the one that never has a window, it is that one: engine and network are the same, and a page
    costs a third. ``BRIDGE_TEST_WHOLE_BROWSER=1`` takes the whole one all the same.
    """
    without_window = None if os.environ.get("BRIDGE_TEST_WHOLE_BROWSER") == "1" else which("chromium-headless-shell")
    async with launched(without_window or require_binary("chromium")) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole_browser(require_binary: Callable[[str], str]) -> AsyncIterator[Browser]:
    """Chromium as people have it, for what belongs to the browser around the page: what it blocks, say."""
    async with launched(require_binary("chromium")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile: no cookie, no storage, English."""
    context = await browser.new_context(locale="en-US")
    context.set_default_timeout(PATIENCE_S * 1000)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    """A tab in which nothing may go wrong unseen: what the page throws or logs as an error fails the test."""
    page = await context.new_page()
    page.wrong = wrong = []  # type: ignore[attr-defined]  # a note that belongs to this page
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    return page


@pytest_asyncio.fixture(loop_scope="session")
async def edge() -> AsyncIterator[ScriptedEdge]:
    """An edge that does what the test says."""
    async with scripted_edge() as edge:
        yield edge


@pytest_asyncio.fixture(loop_scope="session")
async def tab(page: Page, edge: ScriptedEdge) -> Page:
    """A page of that edge that has loaded ``/client.js`` and is not connected yet; its clock is the test's."""
    await page.clock.install()
    await page.add_init_script(RECORD)
    await page.goto(edge.url)
    # An installed clock still runs with the world's; only a paused one moves by what the test says and nothing else.
    # Ahead of what it may show by then: no clock is set back.
    await page.clock.pause_at(await page.evaluate("Date.now() / 1000") + 600)
    return page
