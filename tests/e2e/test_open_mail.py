"""A click on a mail in a real Chromium: the window, where it leads, and what the page it came from can see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from aiohttp import web
from playwright.async_api import BrowserContext, Page, expect

from tests.e2e.test_dev_page import another_mailbox, open_page, wait_for_mail
from tests.support.clicks import Stage, clicking
from tests.support.dev_program import DevProgram
from tests.support.stage import BOB, token
from tests.support.waiting import until
from tests.support.workers import simulating


class Oa:
    """Serves a page on another site: ``localhost``, while the edge is at 127.0.0.1."""

    def __init__(self) -> None:
        self.url = ""
        self.html = ""

    async def show(self, request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>OA</title>{self.html}", content_type="text/html")


@pytest_asyncio.fixture(loop_scope="session")
async def oa() -> AsyncIterator[Oa]:
    oa = Oa()
    app = web.Application()
    app.router.add_get("/", oa.show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    oa.url = f"http://localhost:{runner.addresses[0][1]}"
    yield oa
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_url: str, oa: Oa) -> AsyncIterator[Stage]:
    """An edge that pages of that OA may ask."""
    async with simulating() as simulator, clicking(redis_url, simulator, BRIDGE_EDGE_ALLOWED_ORIGINS=oa.url) as stage:
        yield stage


async def oa_page(page: Page, oa: Oa, stage: Stage, options: str) -> None:
    """A page of the OA with a button that opens a mail; what came of it stands in ``came``."""
    oa.html = f"""<button>open</button>
      <script src="{stage.browser.url}/client.js"></script>
      <script>
        window.came = [];
        const mail = ExmailBridge.connect({options});
        mail.close();
        document.querySelector('button').onclick = () =>
          mail.open(window.wanted).then((opened) => came.push(opened), (error) => came.push(error.message));
      </script>"""
    await page.goto(oa.url)


async def opened_by(page: Page, act: Callable[[], Awaitable[None]]) -> Page:
    """The window that a click opens, once it has arrived at the provider's page."""
    async with page.expect_popup() as waiting:
        await act()
    window = await waiting.value
    await window.wait_for_url("**/cgi-bin/login?**")
    return window


async def test_the_dev_page_opens_the_mail_that_was_clicked(page: Page, dev: DevProgram) -> None:
    """The simulated provider's page shows that mailbox at that mail, and the story tells of it."""
    mailbox = another_mailbox(dev, 9)
    await open_page(page, dev, mailbox)
    wanted = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    await wait_for_mail(page, wanted)
    other = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    await wait_for_mail(page, other)
    window = await opened_by(page, page.locator(f'[data-mail-id="{wanted}"]').click)
    shown = window.locator("main")
    await expect(shown).to_have_attribute("data-mailbox", mailbox)
    await expect(shown).to_have_attribute("data-mail-id", wanted)
    await expect(page.locator("#story")).to_contain_text("opened in the provider’s web mail")
    assert page.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_the_mails_of_the_dev_page_are_links(page: Page, dev: DevProgram) -> None:
    """By keyboard, and where a window is blocked: an ordinary link to the same mail."""
    mailbox = another_mailbox(dev, 10)
    await open_page(page, dev, mailbox)
    wanted = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    link = page.locator(f'[data-mail-id="{wanted}"] a')
    await link.focus()
    window = await opened_by(page, lambda: page.keyboard.press("Enter"))
    await expect(window.locator("main")).to_have_attribute("data-mail-id", wanted)
    answer = await page.context.request.get(await link.evaluate("link => link.href"))
    assert f'data-mail-id="{wanted}"' in await answer.text()


async def test_with_a_ticket_from_another_site(page: Page, oa: Oa, stage: Stage) -> None:
    """The window is opened before the ticket is there, ends at the right mail, and knows nothing of the page."""
    mail = stage.simulator.world.deliver_mail(BOB)
    await oa_page(page, oa, stage, "{ ticket: () => new Promise((resolve) => { window.give = resolve; }) }")
    await page.evaluate("id => { window.wanted = id; }", mail.mail_id)
    async with page.expect_popup() as waiting:
        await page.click("button")
    window = await waiting.value
    assert window.url == "about:blank"
    assert await window.evaluate("window.opener") is None
    await page.evaluate("ticket => window.give(ticket)", await stage.browser.ticket())
    await window.wait_for_url("**/cgi-bin/login?**")
    await expect(window.locator("main")).to_have_attribute("data-mail-id", mail.mail_id)
    assert await window.evaluate("[document.referrer, window.opener]") == ["", None]
    assert await page.evaluate("came") == [True]


async def test_with_the_cookie(page: Page, context: BrowserContext, oa: Oa, stage: Stage) -> None:
    """No ticket is asked for; without a mail it is the inbox, of the mailbox that the page is about."""
    other = list(stage.simulator.world.accounts)[1]
    # The cookie of a page and an edge on one site, as it usually is.
    cookie = {"name": "exmail_bridge", "value": token(mailboxes=[other]), "url": stage.browser.url, "httpOnly": True}
    await context.add_cookies([cookie])
    oa.url = oa.url.replace("localhost", "127.0.0.1")
    await oa_page(page, oa, stage, f"{{ url: '{stage.browser.url}', mailbox: '{other}' }}")
    window = await opened_by(page, lambda: page.click("button"))
    await expect(window.locator("main")).to_have_attribute("data-mailbox", other)
    await expect(window.locator("main")).to_have_attribute("data-mail-id", "")


async def test_without_a_ticket_the_window_is_closed(page: Page, oa: Oa, stage: Stage) -> None:
    """The OA is away: the empty window does not stay, and the page is told."""
    await oa_page(page, oa, stage, "{ ticket: async () => { throw new Error('OA is away'); } }")
    async with page.expect_popup() as waiting:
        await page.click("button")
    window = await waiting.value
    if not window.is_closed():
        await window.wait_for_event("close")
    await page.wait_for_function("came.length")
    assert await page.evaluate("came") == ["OA is away"]
    assert stage.keys == 0


async def test_a_blocked_window_is_said(page: Page, oa: Oa, stage: Stage) -> None:
    """``false``, and no ticket is spent for it."""
    await oa_page(page, oa, stage, "{ ticket: async () => { window.asked = true; } }")
    await page.evaluate("window.open = () => null")
    await page.click("button")
    await page.wait_for_function("came.length")
    assert await page.evaluate("[came, window.asked]") == [[False], None]


async def test_another_site_may_hold_a_link_and_no_image(
    page: Page, context: BrowserContext, oa: Oa, stage: Stage
) -> None:
    """Following the link takes the Lax cookie along and opens the mailbox; an image that asks gets no key."""
    cookie = {"name": "exmail_bridge", "value": token(), "url": stage.browser.url, "httpOnly": True, "sameSite": "Lax"}
    await context.add_cookies([cookie])
    oa.html = f"<img src='{stage.browser.url}/mail/open'><a href='{stage.browser.url}/mail/open'>link</a>"
    await page.goto(oa.url)
    await until(lambda: stage.clicks("refused") == 1)
    assert stage.keys == 0
    await page.click("a")
    await page.wait_for_url("**/cgi-bin/login?**")
    assert (stage.clicks("opened"), stage.keys) == (1, 1)
