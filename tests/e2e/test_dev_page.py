"""The page of ``dev`` in a real Chromium: mails arrive, nothing is missed, hostile text stays text."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.support.dev_program import DevProgram
from tests.support.waiting import PATIENCE_S, until

BOB = "bob@gzdev.com"
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


async def open_page(page: Page, dev: DevProgram, mailbox: str = BOB) -> None:
    """Open the page, signed in for a mailbox, and connected."""
    await page.goto(dev.url)
    await connected(page)
    if mailbox != BOB:
        await page.select_option("#mailbox", mailbox)
        await expect(page.locator("#address")).to_have_text(mailbox)
        await connected(page)


async def connected(page: Page) -> None:
    await expect(page.locator("#state-dot")).to_have_attribute("data-state", "open")


async def shown_ids(page: Page) -> list[str]:
    """MailIds of the list, oldest first."""
    rows = page.locator(".mail")
    ids: list[str] = await rows.evaluate_all("rows => rows.map(row => row.dataset.mailId)")
    return ids[::-1]


async def wait_for_mail(page: Page, mail_id: str) -> None:
    await expect(page.locator(f'[data-mail-id="{mail_id}"]')).to_have_count(1)


async def shows(locator: Locator) -> bool:
    """Whether something comes to be seen, within some seconds."""
    try:
        await expect(locator).to_be_visible(timeout=5_000)
    except AssertionError:
        return False
    return True


def another_mailbox(dev: DevProgram, number: int) -> str:
    """One that no other test of this file takes."""
    return str(dev.simulator("truth")["accounts"][number]["alias"])


@pytest.mark.parametrize(("transport", "number"), [("websocket", 1), ("sse", 2)])
async def test_nothing_is_missed_over_a_dropped_connection(
    page: Page, dev: DevProgram, transport: str, number: int
) -> None:
    """Before, during and after a lost connection: every announced mail shows once, in the provider's order."""
    mailbox = another_mailbox(dev, number)
    await open_page(page, dev, mailbox)
    await page.locator(f"input[value={transport}]").check(force=True)
    await connected(page)
    assert await page.evaluate("mail.transport") == transport
    dev.simulator("burst", {"mailbox": mailbox, "n": 3})
    await wait_for_mail(page, dev.pushed(mailbox)[-1])
    await page.click("#drop")
    await expect(page.locator("#verdict")).to_have_attribute("data-verdict", "good")
    await expect(page.locator("#verdict-head")).to_have_text("5 events arrived while away, none missed")
    await expect(page.locator("#verdict-rest")).to_have_text(re.compile(r"seq \d+…\d+: complete, in order, none twice"))
    last = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    await wait_for_mail(page, last)
    truth = dev.pushed(mailbox)
    assert len(truth) == 9
    assert await shown_ids(page) == truth
    assert page.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_hostile_text_stays_text(page: Page, dev: DevProgram) -> None:
    """What a sender writes is shown letter by letter, wherever it stands, and never runs."""
    mailbox = another_mailbox(dev, 3)
    await open_page(page, dev, mailbox)
    told = dev.simulator(
        "mail", {"mailbox": mailbox, "subject": HOSTILE, "summary": HOSTILE, "sender": f'"{HOSTILE}" <x@evil.example>'}
    )
    row = page.locator(f'[data-mail-id="{told["mail_id"]}"]')
    await expect(row.locator(".subject")).to_have_text(HOSTILE)
    await expect(row.locator(".summary")).to_have_text(HOSTILE)
    await expect(row.locator(".sender")).to_contain_text(HOSTILE)
    assert await row.locator("img, script").count() == 0
    assert await page.evaluate("window.hacked") is None
    assert page.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_the_count_is_in_the_badge_and_the_title(page: Page, dev: DevProgram) -> None:
    """Badge and title follow the provider's count up, and down to nothing when all is read."""
    mailbox = another_mailbox(dev, 4)
    await open_page(page, dev, mailbox)
    unread = dev.simulator("mail", {"mailbox": mailbox})["unread"]
    await expect(page.locator("#count")).to_have_text(str(unread))
    await expect(page).to_have_title(f"({unread}) Exmail bridge")
    await expect(page.locator(".mail").first).to_have_class(re.compile("unread"))
    await page.click("[data-command=read]")
    await expect(page.locator("#count")).to_have_text("0")
    await expect(page).to_have_title("Exmail bridge")
    await expect(page.locator(".mail.unread")).to_have_count(0)
    assert dev.simulator("truth")["unread"][mailbox] == 0


async def test_a_burst_arrives_whole(page: Page, dev: DevProgram) -> None:
    """Fifty mails in one write are fifty rows."""
    mailbox = another_mailbox(dev, 5)
    await open_page(page, dev, mailbox)
    await page.click("[data-command=burst]")
    await expect(page.locator(".mail")).to_have_count(50)
    assert await shown_ids(page) == dev.pushed(mailbox)


async def test_a_cut_upstream_shows_and_heals(page: Page, dev: DevProgram) -> None:
    """The page says that the provider is away and that it is back, and mails arrive again."""
    await open_page(page, dev)
    story = page.locator("#story")
    for command, outcome in (("cut", "Connected again after"), ("expire", "A new token was fetched")):
        await page.click(f"[data-command={command}]")
        await expect(page.locator("#verdict-head")).to_contain_text(outcome)
        await expect(story).to_contain_text("provider disconnected")
        await expect(page.locator("#upstream-dot")).to_have_attribute("data-state", "connected")
        dev.wait_for_listener()

        async def arrives() -> bool:
            # What is pushed while the connection is just being made anew is missed.
            mail_id = dev.simulator("mail", {"mailbox": BOB})["mail_id"]
            return await shows(page.locator(f'[data-mail-id="{mail_id}"]'))

        await until(arrives)


async def test_malformed_pushes_do_no_harm(page: Page, dev: DevProgram) -> None:
    """Of two that can be repaired and two that cannot, two mails arrive; the connection does not end."""
    mailbox = another_mailbox(dev, 6)
    await open_page(page, dev, mailbox)
    for done in range(1, 5):
        await page.click("[data-command=malformed]")
        await expect(page.locator("#story li", has_text="malformed")).to_have_count(done)
    last = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    await wait_for_mail(page, last)
    assert len(await shown_ids(page)) == 3
    assert await shown_ids(page) == dev.pushed(mailbox)
    await expect(page.locator("#upstream-dot")).to_have_attribute("data-state", "connected")


async def test_silence_is_a_switch(page: Page, dev: DevProgram) -> None:
    """A silent provider announces nothing, and the page says so; pressed again, it speaks."""
    mailbox = another_mailbox(dev, 7)
    await open_page(page, dev, mailbox)
    silence = page.locator("[data-command=silence]")
    await silence.click()
    await expect(silence).to_have_attribute("aria-pressed", "true")
    await page.click("[data-command=mail]")
    await expect(page.locator("#story")).to_contain_text("while nobody listened")
    await page.reload()
    await expect(silence).to_have_attribute("aria-pressed", "true")
    await silence.click()
    await expect(silence).to_have_attribute("aria-pressed", "false")
    dev.wait_for_listener()

    async def speaks() -> bool:
        await page.click("[data-command=mail]")
        return await shows(page.locator(".mail").first)

    await until(speaks)
    await wait_for_mail(page, dev.pushed(mailbox)[-1])


async def test_another_mailbox_is_another_stream(page: Page, dev: DevProgram) -> None:
    """After a change of mailbox its mails arrive and those of the former one do not; a reload keeps it."""
    mailbox = another_mailbox(dev, 8)
    await open_page(page, dev, mailbox)
    dev.simulator("mail", {"mailbox": BOB})
    mine = dev.simulator("mail", {"mailbox": mailbox})["mail_id"]
    await wait_for_mail(page, mine)
    assert await shown_ids(page) == [mine]
    await page.reload()
    await expect(page.locator("#address")).to_have_text(mailbox)
    await wait_for_mail(page, mine)
    assert await page.input_value("#mailbox") == mailbox


async def test_both_languages(page: Page, context: BrowserContext, dev: DevProgram) -> None:
    """The button changes every word, what was told included; a reload keeps the choice."""
    await open_page(page, dev)
    await expect(page.locator("#story")).to_contain_text("connected over WebSocket")
    await page.click("#language")
    await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    await expect(page.locator("#story")).to_contain_text("已通过 WebSocket 连接")
    await expect(page.locator("#drop")).to_have_text("断开本浏览器的连接")
    await page.reload()
    await expect(page.locator("#drop")).to_have_text("断开本浏览器的连接")
    words = await page.evaluate(
        "[Words.en, Words.zh].map(words => JSON.stringify(Object.entries(words).map("
        "([name, word]) => [name, typeof word === 'object' ? Object.keys(word) : 0])))"
    )
    assert words[0] == words[1]


async def test_a_chinese_browser_gets_chinese(page: Page, dev: DevProgram) -> None:
    """The browser's language decides until the reader does."""
    chinese = await page.context.browser.new_context(locale="zh-CN")  # type: ignore[union-attr]  # it was launched
    chinese.set_default_timeout(PATIENCE_S * 1000)
    tab = await chinese.new_page()
    await tab.goto(dev.url)
    await expect(tab.locator("html")).to_have_attribute("lang", "zh-CN")


async def test_a_cookie_that_ran_out_is_renewed(page: Page, context: BrowserContext, dev: DevProgram) -> None:
    """A page whose token is refused signs itself in again and goes on."""
    await open_page(page, dev)
    cookie = next(each for each in await context.cookies() if each["name"] == "exmail_bridge")
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
    await context.add_cookies([{"name": "exmail_bridge", "value": "spoilt", "url": dev.url, "httpOnly": True}])
    await page.evaluate("mail.reconnect()")
    await expect(page.locator("#story")).to_contain_text("closed: 3500")
    await connected(page)
    await wait_for_mail(page, dev.simulator("mail", {"mailbox": BOB})["mail_id"])


async def test_a_cookie_that_is_gone_is_set_again(page: Page, context: BrowserContext, dev: DevProgram) -> None:
    """Nobody has a credential: the page does not wait for the edge's half a minute, it signs itself in."""
    await open_page(page, dev)
    await context.clear_cookies()
    await page.evaluate("mail.reconnect()")
    await expect(page.locator("#story")).to_contain_text("connection lost (3009")
    await connected(page)
    assert [each["name"] for each in await context.cookies()] == ["exmail_bridge"]
