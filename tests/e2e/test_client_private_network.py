"""An OA with a public address and a bridge with a private one: Chromium's Local Network Access stands in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from tests.support.client_tab import RECORD, until
from tests.support.scripted_edge import ScriptedEdge, scripted_edge, snapshot
from tests.support.waiting import PATIENCE_S


@pytest_asyncio.fixture(loop_scope="session")
async def public_page(require_binary: Callable[[str], str]) -> AsyncIterator[Page]:
    """A page that the browser takes for one of a public address; whatever else is on this machine is private to it."""
    async with scripted_edge() as oa, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require_binary("chromium"),
            timeout=PATIENCE_S * 1000,
            args=["--no-sandbox", "--disable-gpu", f"--ip-address-space-overrides={oa.url.split('/')[2]}=public"],
        )
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        await page.add_init_script(RECORD)
        await page.goto(oa.url)
        yield page
        await browser.close()


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_what_the_browser_refuses_is_told_as_far_as_it_can_be_known(
    public_page: Page, edge: ScriptedEdge, transport: str
) -> None:
    """Nothing reaches the bridge, and the code is that of any lost connection: the reason has what the browser says.

    With the permission it is reached.
    """
    options = f"{{ url: '{edge.url}exmail/', transport: '{transport}' }}"
    await public_page.evaluate(f"begin({options})")
    await until(public_page, "mail.state === 'waiting'")
    details = await public_page.evaluate("told.filter((each) => each[1] === 'waiting').map((each) => each[2])")
    why = {"websocket": "never opened", "sse": "event stream ended"}[transport]
    assert (details[0]["code"], details[0]["reason"]) == (1006, f"{why}, local-network prompt")
    assert edge.opened.empty()
    await public_page.context.grant_permissions(["local-network-access"])
    await public_page.evaluate("mail.reconnect()")
    assert (await edge.connection()).query == {}


async def test_below_the_oas_own_host_nobody_is_asked(tab: Page, edge: ScriptedEdge) -> None:
    """A permission says nothing there, and is not said; a connection that was open once is no refusal."""
    edge.refuse_websocket = True
    await tab.evaluate("begin({ transport: 'websocket' })")
    await tab.clock.run_for(1)
    await until(tab, "mail.state === 'waiting'")
    edge.refuse_websocket = False
    await tab.evaluate("mail.reconnect()")
    connection = await edge.connection()
    await connection.say(snapshot(0))
    await until(tab, "mail.state === 'open'")
    connection.abort()
    await until(tab, "mail.state === 'waiting'")
    reasons = "told.filter((each) => each[1] === 'waiting').map((each) => each[2].reason)"
    assert await tab.evaluate(reasons) == ["never opened", ""]
