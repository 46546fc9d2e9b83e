"""``/client.js`` and the real edge, in a browser in which one person signs out and another signs in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio
from aiohttp import web
from playwright.async_api import BrowserContext, Page, expect

from bridge.journal.writer import Writer
from tests.support.stage import ANN, BOB, leading_writer, mail, running_edge, token

PAGE = """<!doctype html><title>OA</title><b id=unread></b><ul id=mails></ul><pre id=log></pre>
<script src=/client.js></script>
<script>
  const [mails, log] = [document.querySelector('#mails'), document.querySelector('#log')];
  const add = (data) => mails.append(Object.assign(document.createElement('li'), { textContent: data.mail_subject }));
  const mail = ExmailBridge.connect({ title: true, badge: '#unread', storage: true });
  mail.on('mail', add);
  mail.on('snapshot', (data) => {
    log.textContent += ` ${data.mailbox} ${data.resumed} ${document.title}`;
    if (data.resumed) return;
    mails.textContent = '';
    data.recent.forEach((event) => add(event.data));
  });
  mail.on('state', (state, detail) => { if (state === 'closed') log.textContent += ` closed ${detail.code}`; });
</script>"""


@dataclass
class Stage:
    """An OA page on the edge's own host."""

    url: str
    writer: Writer
    context: BrowserContext

    async def sign_in(self, mailbox: str) -> None:
        """What the OA does when somebody signs in."""
        cookie = {"name": "exmail_bridge", "value": token(mailbox, sid=f"of {mailbox}"), "url": self.url}
        await self.context.add_cookies([{**cookie, "httpOnly": True}])  # type: ignore[list-item]  # as it documents

    async def tab(self) -> Page:
        page = await self.context.new_page()
        await page.goto(f"{self.url}/oa")
        return page


@pytest_asyncio.fixture(loop_scope="session")
async def stage(redis_url: str, context: BrowserContext) -> AsyncIterator[Stage]:
    async def show(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, add_routes=lambda app: app.router.add_get("/oa", show)) as (url, _),
    ):
        await writer.commit([mail("B1", 5, subject="of bob"), mail("A1", 2, ANN, subject="of ann")])
        yield Stage(url, writer, context)


async def test_signing_out_in_one_tab_ends_the_others(stage: Stage) -> None:
    """No tab of that browser shows the person's number any more, and none comes back; the cookie is cleared too."""
    await stage.sign_in(BOB)
    one, other = await stage.tab(), await stage.tab()
    for tab in (one, other):
        await expect(tab).to_have_title("(5) OA")
    assert await one.evaluate("mail.logout()") is True
    for tab, code in ((one, 1000), (other, 3503)):
        await expect(tab.locator("#log")).to_have_text(f"{BOB} false OA closed {code}")
        await expect(tab).to_have_title("OA")
        await expect(tab.locator("#unread")).to_have_text("")
        assert await tab.evaluate("[mail.unread, mail.position, sessionStorage.length]") == [None, None, 0]


async def test_the_next_person_sees_nothing_of_the_first(stage: Stage) -> None:
    """A tab that stayed open while somebody else signed in: his snapshot comes before anything of his is shown."""
    await stage.sign_in(BOB)
    tab = await stage.tab()
    await expect(tab.locator("#mails")).to_have_text("of bob")
    await stage.sign_in(ANN)
    await tab.evaluate("mail.reconnect()")
    await expect(tab.locator("#mails")).to_have_text("of ann")
    await expect(tab.locator("#log")).to_have_text(f"{BOB} false OA {ANN} false OA")
    await expect(tab).to_have_title("(2) OA")
