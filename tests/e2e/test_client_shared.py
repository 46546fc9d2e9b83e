"""Ten tabs, one connection: the worker that the tabs of a browser share, before a real edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Frame, Page, async_playwright

from tests.support.certificates import make_authority
from tests.support.client_tab import frozen
from tests.support.nginx import running_nginx
from tests.support.oa_tabs import (
    Oa,
    end_worker,
    is_open,
    running_oa,
    stands_at,
    told,
    until_told,
    with_tickets,
    write_pages,
)
from tests.support.processes import free_port
from tests.support.stage import ANN, BOB, mail
from tests.support.waiting import PATIENCE_S, until


@pytest_asyncio.fixture(loop_scope="session")
async def oa(redis_url: str, context: BrowserContext) -> AsyncIterator[Oa]:
    """Pages and edge on one port, Bob signed in, one mail."""
    port = free_port()
    async with running_oa(redis_url, context, f"http://127.0.0.1:{port}", port=port) as oa:
        await oa.sign_in()
        await oa.writer.commit([mail("B1", 1)])
        yield oa


async def ten_tabs(oa: Oa) -> list[Page | Frame]:
    """Seven pages, one with a frame and one with two: ten that connect."""
    tabs: list[Page | Frame] = [await oa.tab() for _ in range(7)]
    for path, frames in (("/iframe.html", 1), ("/frameset.html", 2)):
        page = await oa.tab(path)
        await until(lambda page=page, frames=frames: len(page.frames) == 1 + frames)
        tabs += page.frames[1:]
    for tab in tabs:
        await is_open(tab)
    return tabs


async def are_told_once(oa: Oa, tabs: list[Page | Frame]) -> None:
    """Each tab begins with what there was, and is told each further mail once."""
    await oa.writer.commit([mail("B2", 2), mail("B3", 3)])
    for tab in tabs:
        await stands_at(tab, "B3")
        assert [each for each in await told(tab) if "B" in each] == ["recent B1", "B2", "B3"]
        assert await tab.evaluate("[mail.unread, mail.transport, mail.mailbox]") == [3, "websocket", BOB]
    assert oa.connects() == 1
    await until(lambda: oa.open() == 1)


@pytest_asyncio.fixture(loop_scope="session")
async def trusting(require_binary: Callable[[str], str]) -> AsyncIterator[BrowserContext]:
    """A browser of its own that takes any certificate, in workers too."""
    async with async_playwright() as playwright:
        program = await playwright.chromium.launch(
            executable_path=require_binary("chromium"),
            timeout=PATIENCE_S * 1000,
            args=["--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"],
        )
        context = await program.new_context()
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context
        await program.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_back_to_a_page_does_not_announce_again(redis_url: str, require_binary: Callable[[str], str]) -> None:
    """A page that the browser has kept, and the one that came after it in its tab, tell each mail once together."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require_binary("chromium"),
            timeout=PATIENCE_S * 1000,
            args=["--no-sandbox", "--disable-gpu"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        port = free_port()
        context = await browser.new_context()
        context.set_default_timeout(PATIENCE_S * 1000)
        async with running_oa(redis_url, context, f"http://127.0.0.1:{port}", port=port) as oa:
            await oa.sign_in()
            other, tab = await oa.tab(), await oa.tab(options="{ storage: true }")
            await oa.writer.commit([mail("B1", 1)])
            await stands_at(tab, "B1")
            await tab.goto(f"{oa.url}/oa.html?next")
            await oa.writer.commit([mail("B2", 2)])
            await stands_at(tab, "B2")
            assert await told(tab) == ["connecting", "open", f"{BOB} true", "B2"]
            await tab.go_back(wait_until="commit")
            await oa.writer.commit([mail("B3", 3)])
            await stands_at(tab, "B3")
            mails = [each for each in await told(tab) if each.startswith("B")]
            # Kept by the browser, it goes on behind what the next page told; not kept, it begins there.
            assert mails in (["B1", "B3"], ["B3"])
            await stands_at(other, "B3")
            assert oa.connects() == 1
        await browser.close()


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("way", ["http", "https", "h2"])
async def test_ten_tabs_are_one_connection(
    redis_url: str, trusting: BrowserContext, require_binary: Callable[[str], str], tmp_path: Path, way: str
) -> None:
    """Pages, an iframe and a frameset, over http, HTTPS and HTTP/2: one connection, and each mail once in each."""
    port, edge = free_port(), free_port()
    tls = ""
    if way != "http":
        chain = make_authority(tmp_path).chain
        http2 = "http2 on;" if way == "h2" else ""
        tls = f"{http2} ssl_certificate {chain}; ssl_certificate_key {chain};"
    write_pages(tmp_path)
    url = f"{'https' if tls else 'http'}://localhost:{port}"
    nginx = running_nginx(
        require_binary("nginx"), tmp_path, port=port, edges=[f"127.0.0.1:{edge}"], pages=tmp_path, tls=tls
    )
    async with nginx, running_oa(redis_url, trusting, url, port=edge) as oa:
        await oa.sign_in()
        await oa.writer.commit([mail("B1", 1)])
        tabs = await ten_tabs(oa)
        protocol = await tabs[0].evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == ("h2" if way == "h2" else "http/1.1")
        await are_told_once(oa, tabs)


async def test_a_frozen_tab_goes_on_where_it_was(oa: Oa) -> None:
    """What came meanwhile is told once when it thaws; the others did not wait for it."""
    awake, asleep = await oa.tab(), await oa.tab()
    await stands_at(awake, "B1")
    await stands_at(asleep, "B1")
    async with frozen(asleep):
        await oa.writer.commit([mail("B2", 2), mail("B3", 3)])
        await stands_at(awake, "B3")
    await stands_at(asleep, "B3")
    await oa.writer.commit([mail("B4", 4)])
    for tab in (awake, asleep):
        await stands_at(tab, "B4")
        assert await told(tab) == ["connecting", "open", f"{BOB} false", "recent B1", "B2", "B3", "B4"]
    assert oa.connects() == 1


async def test_a_worker_that_is_ended_costs_nothing(oa: Oa, browser: Browser) -> None:
    """The tabs notice that they hear no ping, and the next worker gives each what it missed, from its own place."""
    await oa.context.clock.install()
    tabs = [await oa.tab() for _ in range(3)]
    for tab in tabs:
        await stands_at(tab, "B1")
    await oa.writer.commit([mail("B2", 2)])
    for tab in tabs:
        await stands_at(tab, "B2")
    await end_worker(browser)
    await until(lambda: oa.open() == 0)
    await oa.writer.commit([mail("B3", 3), mail("B4", 4)])
    await oa.context.clock.run_for(41_000)
    for tab in tabs:
        await stands_at(tab, "B4")
        mails = ["B2", "waiting 1006", "connecting", "open", f"{BOB} true", "B3", "B4"]
        assert (await told(tab))[-len(mails) :] == mails
    await until(lambda: oa.open() == 1)


async def test_who_comes_later_is_told_what_the_first_was(oa: Oa) -> None:
    """A page that is opened while the connection stands begins with the newest mails and the count."""
    first = await oa.tab()
    await stands_at(first, "B1")
    await oa.writer.commit([mail("B2", 2), mail("B3", 5)])
    await stands_at(first, "B3")
    later = await oa.tab()
    await stands_at(later, "B3")
    assert await told(later) == ["connecting", "open", f"{BOB} false", "recent B1", "recent B2", "recent B3"]
    assert await later.evaluate(
        "[mail.unread, mail.position, mail.transport, mail.upstream.state]"
    ) == await first.evaluate("[mail.unread, mail.position, mail.transport, mail.upstream.state]")
    assert oa.connects() == 1


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside another tab"])
async def test_the_next_page_of_a_tab_continues(oa: Oa, alone: bool) -> None:
    """With ``storage`` a page is told what came while there was none: from the worker, or from the history."""
    if not alone:
        await stands_at(await oa.tab(), "B1")
    tab = await oa.tab(options="{ storage: true }")
    await stands_at(tab, "B1")
    await tab.goto("about:blank")
    await until(lambda: oa.open() == (0 if alone else 1))
    await oa.writer.commit([mail("B2", 2), mail("B3", 3)])
    await tab.goto(f"{oa.url}/oa.html")
    await stands_at(tab, "B3")
    assert await told(tab) == ["connecting", "open", f"{BOB} true", "B2", "B3"]
    assert oa.connects() == (2 if alone else 1)


async def test_a_long_absence_is_read_page_by_page(oa: Oa) -> None:
    """More than one answer of the history holds, and all of it comes once and in order."""
    tab = await oa.tab(options="{ storage: true }")
    await stands_at(tab, "B1")
    await tab.goto("about:blank")
    ids = [f"C{number}" for number in range(90)]
    await oa.writer.commit([mail(each, 1, subject="x" * 4000) for each in ids])
    await tab.goto(f"{oa.url}/oa.html")
    await stands_at(tab, ids[-1])
    assert (await told(tab))[2:] == [f"{BOB} true", *ids]


async def test_a_place_of_another_history_begins_anew(oa: Oa) -> None:
    """A position of an epoch that is no more, or that nobody can read, is no continuation."""
    await stands_at(await oa.tab(), "B1")
    for place in ("aaaaaaaa-1", "nonsense"):
        tab = await oa.tab(options=f"{{ after: '{place}' }}")
        await stands_at(tab, "B1")
        assert await told(tab) == ["connecting", "open", f"{BOB} false", "recent B1"]
    assert oa.connects() == 1


async def test_a_place_ahead_is_the_edges_to_judge(oa: Oa) -> None:
    """A tab that was told more than the shared connection was shows its place to the edge itself."""
    first = await oa.tab()
    await stands_at(first, "B1")
    ahead = (await first.evaluate("mail.position")).replace("-1", "-7")
    tab = await oa.tab(options=f"{{ after: '{ahead}' }}")
    await is_open(tab)
    assert oa.connects() == 2
    assert f"{BOB} false" in await told(tab)


async def test_the_next_person_sees_nothing_of_the_first(oa: Oa) -> None:
    """Somebody else signs in and opens a page: no tab shows anything of the first any more, and his page never did."""
    await oa.writer.commit([mail("A1", 2, ANN)])
    first = await oa.tab()
    await stands_at(first, "B1")
    await oa.sign_in(ANN)
    second = await oa.tab()
    for tab in (second, first):
        await stands_at(tab, "A1")
        await oa.writer.commit([mail("B2", 2)])
        assert await tab.evaluate("[mail.mailbox, mail.unread, document.querySelector('#unread').textContent]") == [
            ANN,
            2,
            "2",
        ]
    assert await told(second) == ["connecting", "open", f"{ANN} false", "recent A1"]
    assert (await told(first))[-2:] == [f"{ANN} false", "recent A1"]
    await until(lambda: oa.open() == 1)


async def test_a_renewed_token_moves_all_tabs(oa: Oa) -> None:
    """A token without ``sid`` is a session each: the tabs go over to the newest one, and are told nothing twice."""
    tabs = []
    for life_s in (700, 800):
        await oa.sign_in(BOB, life_s=life_s)
        tabs.append(await oa.tab())
        await stands_at(tabs[-1], "B1")
    await oa.writer.commit([mail("B2", 2)])
    for tab in tabs:
        await stands_at(tab, "B2")
        assert (await told(tab)).count("B2") == (await told(tab)).count("recent B1") == 1
    assert oa.connects() == 2
    await until(lambda: oa.open() == 1)


async def test_where_nobody_is_signed_in_nothing_is_shown(oa: Oa) -> None:
    """The OA has taken the cookie away and shows a page: neither that page nor an older one shows a number."""
    first = await oa.tab()
    await stands_at(first, "B1")
    await oa.context.clear_cookies()
    second = await oa.tab()
    for tab in (second, first):
        await until_told(tab, "waiting 3009")
        assert await tab.evaluate("[mail.unread, document.querySelector('#unread').textContent]") == [None, ""]
    await until(lambda: oa.open() == 0)
    await oa.sign_in()
    await second.evaluate("mail.reconnect()")
    for tab in (second, first):
        await is_open(tab)
    await until(lambda: oa.open() == 1)


async def test_signing_out_ends_every_tab(oa: Oa) -> None:
    """One tab signs out: the others are told 3503, show nothing and stay closed."""
    tabs = [await oa.tab() for _ in range(3)]
    for tab in tabs:
        await stands_at(tab, "B1")
    assert await tabs[0].evaluate("mail.logout()") is True
    for tab, code in zip(tabs, (1000, 3503, 3503), strict=True):
        await until_told(tab, f"closed {code}")
        assert await tab.evaluate("[mail.unread, mail.position, mail.mailbox]") == [None, None, None]
    await until(lambda: oa.open() == 0)


async def test_a_tab_is_asked_for_the_ticket(oa: Oa) -> None:
    """Pages that say whose their tickets are share a connection; whichever lives is asked for the next ticket."""
    tabs = [await oa.tab(), await oa.tab()]
    asked = [await with_tickets(oa, tab) for tab in tabs]
    for tab in tabs:
        await stands_at(tab, "B1")
    assert sorted(map(len, asked)) == [0, 1]
    # Whose greeting came first, which need not be the tab that was opened first.
    first, second = sorted(tabs, key=lambda tab: not asked[tabs.index(tab)])
    await first.close()
    await oa.writer.commit([mail("B2", 2)])
    await stands_at(second, "B2")
    connects = oa.connects()
    await second.evaluate("dispatchEvent(new Event('online'))")
    await until(lambda: oa.connects() == connects + 1)
    await oa.writer.commit([mail("B3", 3)])
    await stands_at(second, "B3")
    assert [len(each) for each in asked] == [1, 1]


async def test_tickets_of_another_session_are_not_shared(oa: Oa) -> None:
    """A page that says another session than its tickets have gets a connection of its own."""
    tabs = [await oa.tab(), await oa.tab()]
    for tab in tabs:
        await is_open(tab)
        await with_tickets(oa, tab, session="another")
    for tab in tabs:
        await stands_at(tab, "B1")
    await until(lambda: oa.open() == 2)


@pytest.mark.parametrize("hindrance", ["delete window.SharedWorker", "window.options = { shared: false }"])
async def test_where_nothing_can_be_shared_each_tab_connects(oa: Oa, hindrance: str) -> None:
    """No SharedWorker, or a page that wants its own: a connection a tab."""
    await oa.context.add_init_script(hindrance)
    for number in (1, 2):
        await stands_at(await oa.tab(options="window.options || {}"), "B1")
        await until(lambda number=number: oa.open() == number)  # type: ignore[misc]
