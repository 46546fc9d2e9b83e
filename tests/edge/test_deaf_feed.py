"""A pub/sub connection that is open and brings nothing: noticed, built again, told to everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from bridge.edge.channels import Channels
from bridge.edge.feed import Pace
from bridge.edge.probe import Probe
from bridge.journal.clock import SharedClock, redis_now_us
from bridge.journal.connect import RedisAddress
from bridge.journal.reader import Reader
from bridge.journal.reports import Deafness, Reports
from bridge.obs.metrics import Metrics
from tests.support.browser_side import open_ws
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import ANN, KEYS, bearer, leading_writer, let_in, mail, running_edge
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.usefixtures("by_each_channel")

QUICK = Pace(probe_s=0.05, deaf_s=0.3, tops_s=3600, reconnect_s=0.02)


async def test_a_deaf_connection_is_built_again_and_nothing_is_lost(redis_url: str) -> None:
    """What was published meanwhile arrives; a metric counts; the report waits for whoever leads."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, redis),
        running_edge(way.url, QUICK) as (url, metrics),
    ):

        def deaf() -> float:
            return metrics.registry.get_sample_value("exmail_bridge_feed_deaf_total") or 0

        async with await let_in(url) as browser:
            way.deaf = True
            before = deaf()
            await writer.commit([mail("Z1")])
            await until(lambda: deaf() > before)
            way.deaf = False
            [event] = await browser.events(1)
            assert event["data"]["mail_id"] == "Z1"
        [report] = await Reports(redis, KEYS).take()
        assert report.until - report.since >= 300
        assert report.edge


async def test_readiness_is_tied_to_a_probe_that_came_round(redis_url: str) -> None:
    """While nothing comes the edge is not ready, though Redis answers all the while; then it is again."""
    asked: list[Callable[[], str | None]] = []
    async with redis_proxy(redis_url) as way, running_edge(way.url, QUICK, tell_health=asked.append):
        [health] = asked
        await until(lambda: health() is None)
        way.deaf = True
        await until(lambda: health() is not None)
        way.deaf = False
        await until(lambda: health() is None)


async def test_reports_of_a_stranger_are_checked(redis_url: str) -> None:
    """An edge may be anybody's: what does not look like a report is dropped, and the list is bounded."""
    async with leading_writer(redis_url) as (_, redis):
        reports = Reports(redis, KEYS)
        for text in (
            b"{",
            b"[]",
            b"{}",
            b'{"edge":"\\u202eevil","since":1,"until":2}',
            b'{"edge":"e","since":3,"until":2}',
            b'{"edge":"e","since":1e400,"until":2}',
        ):
            await redis.lpush(KEYS.reports, text)
        assert await reports.take() == []
        for number in range(150):
            await reports.tell(Deafness("host:1", number, number))
        assert await redis.llen(KEYS.reports) == 100
        assert 0 < await redis.ttl(KEYS.reports) <= 600
        await redis.lpush(KEYS.reports, b'{"edge":"host:2","since":1,"until":2}')
        taken = await reports.take()
        assert (taken[0], taken[-1]) == (Deafness("host:1", 51, 51), Deafness("host:2", 1, 2))
        assert await reports.take() == []


async def test_an_edge_that_starts_deaf_is_no_edge_that_stays_deaf(redis_url: str) -> None:
    """A SUBSCRIBE that Redis never confirms is given up and asked again; nobody has to start the edge anew."""
    async with redis_proxy(redis_url) as way:
        way.deaf = True
        tries = way.subscribed
        starting = asyncio.create_task(_served(way.url))
        await until(lambda: way.subscribed >= tries + 2)
        way.deaf = False
        await asyncio.wait_for(starting, PATIENCE_S)


async def _served(url: str) -> None:
    async with running_edge(url, QUICK) as (edge, _), await let_in(edge):
        pass


async def test_a_mailbox_that_is_not_confirmed_renews_the_connection(redis_url: str) -> None:
    """The way goes deaf between two browsers: the second gets in over the next one, the first loses nothing."""
    patient = Pace(probe_s=3600, deaf_s=0.3, tops_s=3600, reconnect_s=0.02)
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, _),
        running_edge(way.url, patient) as (url, _),
        await let_in(url) as bob,
    ):
        way.deaf = True
        # With the pace above no probe tells of it: the SUBSCRIBE alone does.
        async with await open_ws(url, **bearer(ANN)) as ann:
            assert await ann.end() == 3013
        await writer.commit([mail("Z1")])
        way.deaf = False
        [event] = await bob.events(1)
        assert event["data"]["mail_id"] == "Z1"

        (await let_in(url, mailbox=ANN)).drop()


async def test_who_stood_still_does_not_take_his_connection_for_deaf(redis_url: str) -> None:
    """A machine that was suspended has heard nothing for long, because it has asked nothing; deaf is who asks for so
    long in vain."""
    now, patience_s = [0.0], 10.0
    async with RedisAddress(redis_url).client() as redis, redis.pubsub() as channel:
        reader = Reader(redis, KEYS, history_events=1, history_s=1)
        channels = Channels(KEYS, reader, look_s=3600)
        probe = Probe(
            channels,
            reader,
            Reports(redis, KEYS),
            Metrics(),
            name="edge",
            pace=Pace(probe_s=0.02, deaf_s=patience_s),
            clock=lambda: now[0],
            redis_clock=SharedClock(partial(redis_now_us, redis)),
        )
        await channel.subscribe(channels.probe)

        async def sent() -> bytes:
            while True:
                assert not watching.done()
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=0.05)
                if message is not None:
                    payload: bytes = message["data"]
                    return payload

        watching = asyncio.create_task(probe.until_lost(asyncio.get_running_loop().create_future()))
        probe.came(await sent())
        now[0] += 6 * patience_s
        # The answer to the first question since then takes longer than until the next one.
        while float(first := await sent()) < now[0]:
            continue
        await sent()
        probe.came(first)
        assert not probe.is_overdue
        await sent()

        def given_up() -> bool:
            now[0] += patience_s / 2
            return watching.done()

        await until(given_up)
        assert watching.result() is None
