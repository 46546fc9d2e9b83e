"""Sessions that last for days: ``refresh`` renews a credential before it ends, ``stale`` says what may be old."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import BrowserContext, Page

from tests.support.client_tab import RECORD, begin, come_back, told, until, waits
from tests.support.scripted_edge import EPOCH, Connection, ScriptedEdge, closing, event, snapshot
from tests.support.waiting import PATIENCE_S

REFRESHES = "window.refreshed = 0; window.refresh = async () => { refreshed += 1; }; null"


async def passes(tab: Page, connection: Connection, ms: int) -> None:
    """Let the page's time pass on a connection that lives."""
    while ms > 0:
        await connection.say({"type": "exmail.heartbeat", "data": {}})
        await until(tab, "told[told.length - 1][0] === 'heartbeat' && told.push(['tick'])")
        await tab.clock.run_for(min(ms, 45_000))
        ms -= 45_000


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_credential_is_renewed_before_it_ends(tab: Page, edge: ScriptedEdge, transport: str) -> None:
    """At four fifths of its life; a connection with the new one takes over, and nothing is missed or told twice."""
    await tab.evaluate(REFRESHES)
    connection = await begin(tab, edge, f"{{ refresh, transport: '{transport}' }}")
    for number in range(3):
        await connection.say(snapshot(number, resumed=number > 0, expires_in=600), event(number + 1))
        await until(tab, f"mail.position === '{EPOCH}-{number + 1}'")
        await passes(tab, connection, 450_000)
        assert await tab.evaluate("refreshed") == number
        await passes(tab, connection, 31_000)
        newer = await edge.connection()
        assert newer.query == {"after": f"{EPOCH}-{number + 1}"}
        assert await tab.evaluate("[refreshed, mail.state]") == [number + 1, "open"]
        await newer.say(snapshot(number + 1, resumed=True, expires_in=600))
        await asyncio.wait_for(connection.left.wait(), PATIENCE_S)
        connection = newer
    assert [data["mail_id"] for data in await told(tab, "mail")] == ["M1", "M2", "M3"]
    assert await told(tab, "state") == ["connecting", "open", "open", "open", "open"]
    assert await told(tab, "stale") == []


async def test_a_refresh_that_fails_is_tried_again(tab: Page, edge: ScriptedEdge) -> None:
    """The OA is away for a moment: the connection stays, and half a minute later it is asked again."""
    await tab.evaluate("window.n = 0; window.refresh = () => (n += 1) < 3 ? Promise.reject('away') : null; null")
    connection = await begin(tab, edge, "{ refresh }")
    await connection.say(snapshot(1, expires_in=100))
    await until(tab, "mail.state === 'open'")
    for number, step_ms in enumerate((85_000, 30_000, 30_000), 1):
        await passes(tab, connection, step_ms)
        await until(tab, f"n === {number}")
    assert (await edge.connection()).query == {"after": f"{EPOCH}-1"}


@pytest.mark.parametrize("code", [3005, 3009, 3500])
async def test_a_refused_credential_is_renewed_before_the_next_try(tab: Page, edge: ScriptedEdge, code: int) -> None:
    """After sleep, say: it ran out unseen. There is a new one in a moment, so nobody waits for half a minute."""
    await tab.evaluate(REFRESHES)
    connection = await begin(tab, edge, "{ refresh }")
    await connection.say(snapshot(1, unread=1))
    await until(tab, "mail.state === 'open'")
    await connection.say(closing(code, 30_000))
    assert await waits(tab) == 500
    again = await come_back(tab, edge)
    assert await tab.evaluate("refreshed") == 1
    await again.say(snapshot(1, resumed=True, unread=1))
    await until(tab, "mail.state === 'open'")
    await again.close(1011)
    await come_back(tab, edge)
    assert await tab.evaluate("refreshed") == 1


async def test_who_is_not_signed_in_any_more_is_not_renewed(tab: Page, edge: ScriptedEdge) -> None:
    """``refresh`` says 401: nobody is signed in, nothing is dialled, and it is tried ever more seldom."""
    connection = await begin(tab, edge, "{ refresh: () => Promise.reject({ status: 401 }) }")
    await connection.say(snapshot(1, unread=1))
    await until(tab, "mail.state === 'open'")
    await connection.close(3005)
    told_waits = []
    for rounds in range(12):
        await until(tab, f"told.filter(each => each[1] === 'waiting').length === {rounds + 1}")
        told_waits.append(await waits(tab))
        await tab.clock.run_for(told_waits[-1])
    assert told_waits == [min(600_000, 500 * 2**each) for each in range(12)]
    assert edge.opened.empty()
    assert await tab.evaluate("[mail.unread, mail.stale]") == [None, "credential"]


async def test_one_tab_renews_for_all(edge: ScriptedEdge, context: BrowserContext) -> None:
    """Of tabs that share a connection one is asked, one that can; the others are told nothing of it."""
    edge.pings_every_ms = 10_000
    await context.add_init_script(RECORD)
    tabs = []
    for options in ("{ shared: true }", "{ shared: true, refresh }", "{ shared: true, refresh }"):
        page = await context.new_page()
        await page.goto(edge.url)
        await page.evaluate(REFRESHES)
        await page.evaluate(f"begin({options})")
        tabs.append(page)
    connection = await edge.connection()
    await connection.say(snapshot(0, expires_in=3), event(1))
    for page in tabs:
        await until(page, f"mail.position === '{EPOCH}-1'")
    newer = await edge.connection()
    await connection.say(event(2))
    await until(tabs[0], f"mail.position === '{EPOCH}-2'")
    await newer.say(snapshot(1, resumed=True, unread=1, as_of=1001, expires_in=600), event(2))
    await asyncio.wait_for(connection.left.wait(), PATIENCE_S)
    # The connection that takes over was asked before the last mail: who joins is told the newer count.
    late = await context.new_page()
    await late.goto(edge.url)
    await late.evaluate("begin({ shared: true })")
    await until(late, "mail.state === 'open'")
    assert await told(late, "unread") == [2]
    await newer.say(event(3, unread=2))
    for page in tabs:
        await until(page, f"mail.position === '{EPOCH}-3'")
        assert [data["mail_id"] for data in await told(page, "mail")][-2:] == ["M2", "M3"]
    assert sorted([await page.evaluate("refreshed") for page in tabs]) == [0, 0, 1]
    assert await tabs[0].evaluate("refreshed") == 0


# -- stale


async def test_stale_while_the_provider_is_away(tab: Page, edge: ScriptedEdge) -> None:
    """Whatever the snapshot or a later frame says of it; what the number may miss is said, and taken back."""
    connection = await begin(tab, edge)
    away = {"state": "disconnected", "since": 5, "why": "cut"}
    await connection.say(snapshot(1, unread=1, upstream=away))
    await until(tab, "mail.stale === 'provider'")
    for state in ("connected", "degraded", "disconnected", "connected"):
        await connection.say({"type": "exmail.upstream", "data": {**away, "state": state}})
    await until(tab, "told.filter((each) => each[0] === 'upstream').length === 5")
    assert await told(tab, "stale") == ["provider", None, "provider", None]
    assert await tab.evaluate("[mail.stale, mail.state]") == [None, "open"]


@pytest.mark.parametrize("code", [3005, 3009])
async def test_stale_when_the_token_has_gone(tab: Page, edge: ScriptedEdge, code: int) -> None:
    """At once; until somebody has signed in."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(1, unread=1))
    await until(tab, "mail.state === 'open'")
    await connection.say(closing(code, 10))
    await until(tab, "mail.stale === 'credential'")
    again = await come_back(tab, edge)
    assert await tab.evaluate("mail.stale") == "credential"
    await again.say(snapshot(1, resumed=True, unread=1))
    await until(tab, "mail.stale === null")
    assert await told(tab, "stale") == ["credential", None]


async def test_stale_for_ever_when_it_was_sent_away(tab: Page, edge: ScriptedEdge) -> None:
    """A code that forbids to come back; but not when the page itself has closed."""
    connection = await begin(tab, edge)
    await connection.say(snapshot(1, unread=1), closing(3507))
    await until(tab, "mail.state === 'closed'")
    assert await told(tab, "stale") == ["credential"]
    assert await tab.evaluate("mail.stale") == "credential"
    await tab.reload()
    connection = await begin(tab, edge)
    await connection.say(snapshot(1, unread=1, upstream={"state": "degraded", "since": 1, "why": ""}))
    await until(tab, "mail.stale === 'provider'")
    await tab.evaluate("mail.close()")
    assert await told(tab, "stale") == ["provider"]
    assert await tab.evaluate("mail.stale") is None


async def test_stale_when_the_edge_is_away_for_a_minute(tab: Page, edge: ScriptedEdge) -> None:
    """A reconnect is no reason; more than a minute without a connection is."""
    connection = await begin(tab, edge, "{ transport: 'websocket' }")
    await connection.say(snapshot(1, unread=1))
    await until(tab, "mail.state === 'open'")
    edge.refuse_websocket = True
    connection.abort()
    await until(tab, "mail.state === 'waiting'")
    await tab.clock.run_for(50_000)
    assert await told(tab, "stale") == []
    await tab.clock.run_for(20_000)
    await until(tab, "mail.stale === 'edge'")
    edge.refuse_websocket = False
    async with asyncio.timeout(PATIENCE_S):
        while edge.opened.empty():
            await tab.clock.run_for(1000)
    await (await edge.connection()).say(snapshot(1, resumed=True, unread=1))
    await until(tab, "mail.stale === null")
    assert await told(tab, "stale") == ["edge", None]
