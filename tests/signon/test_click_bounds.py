"""How often a mailbox may be opened: one bound for all processes, which ends by itself."""

from __future__ import annotations

from redis.asyncio import Redis

from bridge.journal.clicks import WINDOW_S, Clicks
from bridge.journal.connect import RedisAddress
from bridge.simulator import Simulator
from tests.support.clicks import HTML, clicking, credentials, signon_alone
from tests.support.processes import free_port, program
from tests.support.stage import BOB, KEYS, SECRET, bearer
from tests.support.waiting import PATIENCE_S

COUNTER = "{exmail}:private:signon:bob@gzdev.com"
FOUR = {"BRIDGE_SIGNON_RATE": "4"}


async def test_the_bound_holds_over_processes(redis_url: str, simulator: Simulator) -> None:
    """Four clicks through an edge and a program beside it: the fifth is refused by both, another mailbox by none."""
    port = free_port()
    environ = credentials(
        simulator,
        BRIDGE_REDIS_URL=redis_url,
        BRIDGE_EDGE_JWT_SECRET=SECRET,
        BRIDGE_SIGNON_LISTEN=f"127.0.0.1:{port}",
        BRIDGE_SIGNON_ADMIN_LISTEN="127.0.0.1:0",
        **FOUR,
    )
    async with clicking(redis_url, simulator, **FOUR) as stage, program("signon", environ=environ) as beside:
        await beside.ready()
        urls = [f"{stage.browser.url}/mail/open", f"http://127.0.0.1:{port}/mail/open"]
        for url in urls * 2:
            assert (await stage.browser.get(url, **bearer())).status == 302
        for url in urls:
            answer = await stage.browser.get(url, **bearer(), **HTML)
            assert (answer.status, answer.page.facts["data-result"]) == (429, "limited")
            wait = answer.headers["retry-after"]
            assert 1 <= int(wait) <= WINDOW_S
            assert f"{wait} seconds" in answer.page.text
        other = list(simulator.world.accounts)[1]
        assert (await stage.browser.click(mailbox=other)).status == 302
        assert stage.keys == 5
        assert await beside.stop() == 0


async def test_the_minute_ends(redis_url: str, simulator: Simulator) -> None:
    """The counter has an end from its first click, and clicks that are refused do not move it."""
    async with clicking(redis_url, simulator, BRIDGE_SIGNON_RATE="1") as stage, Redis.from_url(redis_url) as redis:
        assert (await stage.browser.click()).status == 302
        ends = await redis.pexpiretime(COUNTER)
        assert (await stage.browser.click()).status == 429
        assert await redis.pexpiretime(COUNTER) == ends
        await redis.pexpireat(COUNTER, 1)
        assert (await stage.browser.click()).status == 302


async def test_refused_clicks_count_too(redis_url: str, simulator: Simulator) -> None:
    """Somebody who is proved and tries what he may not, again and again, is bounded; the record with him."""
    async with (
        clicking(redis_url, simulator, BRIDGE_SIGNON_RATE="2") as stage,
        signon_alone(redis_url, simulator, BRIDGE_SIGNON_RATE="2") as alone,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):
        assert (await stage.browser.click("?mailbox=ann@gzdev.com")).status == 403
        assert (await stage.browser.click("?mailbox=ann@gzdev.com")).status == 403
        for _ in range(3):
            assert (await stage.browser.click()).status == 429
            assert (await stage.browser.get(f"{alone}/mail/open", **bearer())).status == 429
        recorded = [entry["result"] for _, entry in await redis.xrange(KEYS.audit)]
        assert recorded == ["refused", "refused", "limited"]


async def test_a_counter_that_was_left_without_an_end(redis_url: str) -> None:
    """However that came to be, the next click gives it one: a mailbox is never locked for good."""
    redis = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    clicks = Clicks(redis, KEYS, audit_max=100, audit_s=3600)
    await redis.set(COUNTER, 1000)
    counted, left_s = await clicks.count(BOB)
    assert counted == 1001
    assert 0 < left_s <= WINDOW_S
    await redis.aclose()
