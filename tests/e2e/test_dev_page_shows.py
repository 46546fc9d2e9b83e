"""The page of ``dev`` for somebody who tries it: what a button does shows, and what is old says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.dev_program import ROOT, DevProgram
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S

PHONE = {"width": 390, "height": 844}
PALE = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const onto = ([r, g, b, a = 1], below) => [r, g, b].map((each, index) => each * a + below[index] * (1 - a));
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.unshift(parse(getComputedStyle(each).backgroundColor));
    }
    return layers.reduce((below, layer) => onto(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((each) => each / 255)
      .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pale = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true }) || element.closest('.unseen, option')) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const [a, b] = [light(onto(parse(style.color), below)), light(below)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) {
      pale.push(`${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 30)}`);
    }
  }
  return pale;
}"""

HEED = """
  window.heeded = [];
  new MutationObserver(() => heeded.push(honest.textContent)).observe(honest, { childList: true });
"""
"""Notes what is said of an old number, however short."""


async def open_page(page: Page, dev: DevProgram) -> None:
    await page.goto(dev.url)
    await expect(page.locator("#state-dot")).to_have_attribute("data-state", "open")


async def press(page: Page, command: str) -> None:
    """Press a button, and wait until the page says what came of it."""
    await page.click(f"[data-command={command}]")
    await expect(page.locator("#verdict")).to_have_attribute("data-verdict", "done")


async def test_a_provider_that_was_away_and_is_back_before_anybody_looked(page: Page, dev: DevProgram) -> None:
    """The edge tells the state that it finds; of a short absence only the time is left."""
    await open_page(page, dev)
    shown = """(states) => {
      const shown = [], effects = Trial.watchEffects((...verdict) => shown.push(verdict[0]))
      effects.upstream('connected', 1)
      effects.begin('cut')
      effects.wait('away')
      for (const [state, since] of states) effects.upstream(state, since)
      return shown
    }"""
    assert await page.evaluate(shown, [["connected", 1]]) == ["busy"]
    assert await page.evaluate(shown, [["connected", 2]]) == ["busy", "done"]
    assert await page.evaluate(shown, [["reconnecting", 2], ["connected", 3]]) == ["busy", "done"]


async def test_what_a_button_does_is_said_beside_it(page: Page, dev: DevProgram) -> None:
    """Each tells beforehand what it shows; the OA's badge has the effect, and what came of it stands by the buttons."""
    await open_page(page, dev)
    for button in await page.locator("[data-command]").all():
        command = await button.get_attribute("data-command")
        assert await page.inner_text(f"#name-{command}")
        assert len(await page.inner_text(f"#shows-{command}")) > 20
    badge, said = page.locator("#badge"), page.locator("#verdict-head")
    await press(page, "read")
    await expect(badge).to_have_text("")
    await press(page, "mail")
    await expect(badge).to_have_text("1")
    await expect(badge).to_have_attribute("aria-label", "1 unread mail")
    await expect(said).to_have_text(re.compile(r"Arrived \d+ ms after the click"))
    await expect(page.locator("#news")).not_to_be_empty()
    await press(page, "burst")
    await expect(badge).to_have_text("51")
    await expect(said).to_have_text(re.compile(r"All 50 arrived within \d+ ms"))
    await page.evaluate(HEED)
    for command, outcome in (("cut", "Connected again after"), ("expire", "A new token was fetched")):
        await press(page, command)
        await expect(said).to_contain_text(outcome)
        dev.wait_for_listener()
    assert "The provider has said nothing since" in await page.evaluate("heeded.join()")
    await expect(page.locator("#honest")).to_be_hidden()
    await page.focus("[data-command=mail]")
    await page.keyboard.press("Enter")
    await expect(said).to_have_text(re.compile(r"Arrived \d+ ms after the click"))
    await expect(badge).to_have_text("53")
    assert page.wrong == []  # type: ignore[attr-defined]  # the fixture's note


async def test_a_dead_edge_is_said_and_no_number_stands_as_if_it_were_true(page: Page, tmp_path: Path) -> None:
    """At once, and where one looks; a button says that nothing was done. When it is back, so is the number."""
    words = ("--port", str(free_port()))
    with DevProgram(tmp_path, *words) as dev:
        dev.simulator("traffic", {"paused": True})
        await open_page(page, dev)
        await press(page, "mail")
    await expect(page.locator("#honest")).to_contain_text("No connection to the bridge since")
    await expect(page.locator("#oa")).to_have_attribute("data-stale", "edge")
    await expect(page.locator("#count")).to_have_class(re.compile("old"))
    await page.click("[data-command=mail]")
    await expect(page.locator("#verdict-head")).to_have_text("The bridge does not answer, so nothing was done")
    with DevProgram(tmp_path, *words):
        await page.evaluate("mail.reconnect()")
        await expect(page.locator("#honest")).to_be_hidden()
        await expect(page.locator("#count")).not_to_have_class(re.compile("old"))


async def test_the_lines_to_paste_are_those_of_the_docs(page: Page, context: BrowserContext, dev: DevProgram) -> None:
    """The button copies them; where there is no clipboard they are marked."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await open_page(page, dev)
    await page.click("#copy")
    await expect(page.locator("#copy-word")).to_have_text("Copied")
    lines = await page.evaluate("navigator.clipboard.readText()")
    [call] = re.findall(r"ExmailBridge\.connect\((.*?)\);", lines, re.DOTALL)
    assert re.findall(r"\w+: [^,\s]+", call) == ["badge: '#unread'", "title: true"]
    assert "connect({ badge: '#unread', title: true })" in (ROOT / "docs" / "embedding.md").read_text()
    assert '<b id="unread"></b>' in lines
    assert '<script src="/exmail/client.js"></script>' in lines
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await page.click("#copy")
    await expect(page.locator("#copy-word")).to_contain_text("Ctrl-C")
    assert await page.evaluate("String(getSelection())") == lines


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_the_badge_stays_in_sight(context: BrowserContext, dev: DevProgram, scheme: str) -> None:
    """Whatever is pressed, wherever the page stands; nothing is wider than the phone, nothing too pale to read."""
    assert context.browser is not None
    phone = await context.browser.new_context(viewport=PHONE, color_scheme=scheme, locale="zh-CN")  # type: ignore[arg-type,unused-ignore]  # one of its two
    phone.set_default_timeout(PATIENCE_S * 1000)
    page = await phone.new_page()
    foreign: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(dev.url) else foreign.append(request.url))
    await open_page(page, dev)
    await press(page, "mail")
    await page.locator("[data-command=traffic]").scroll_into_view_if_needed()
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(page.locator("#badge")).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert await page.evaluate("Promise.all(document.getAnimations().map((each) => each.finished)).then(() => 0)") == 0
    assert await page.evaluate(PALE) == []
    assert foreign == []
    await phone.close()
