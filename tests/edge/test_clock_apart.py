"""An edge whose machine's clock is an hour off: what it compares with a worker's word is Redis's time."""

from __future__ import annotations

import time

import pytest

from bridge.journal.reports import Reports
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import KEYS, bearer, leading_writer, let_in, mail, running_edge
from tests.support.waiting import until

from .test_deaf_feed import QUICK

HOUR_S = 3600


@pytest.mark.parametrize("off_s", [HOUR_S, -HOUR_S])
async def test_what_an_edge_says_of_a_time_is_redis_s(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, off_s: int
) -> None:
    """How long a mail took, since when it was deaf, and which events are over age."""
    before, live, lost = mail("Z1"), mail("Z2"), mail("Z3")
    real, began_s = time.time, time.time()
    monkeypatch.setattr(time, "time", lambda: real() + off_s)
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, redis),
        running_edge(way.url, QUICK, BRIDGE_HISTORY_SECONDS=str(HOUR_S // 2)) as (url, metrics),
    ):

        def sample(name: str) -> float:
            return metrics.registry.get_sample_value(f"exmail_bridge_{name}") or 0

        headers = bearer(life_s=3 * HOUR_S)
        async with await let_in(url, **headers) as browser:
            position = browser.position
            await writer.commit([before])
            await browser.events(1)
        async with await let_in(url, query=f"?after={position}", **headers) as browser:
            assert browser.frames[-1].data["data"]["resumed"]
            assert [event["data"]["mail_id"] for event in await browser.events(1)] == ["Z1"]
            await writer.commit([live])
            await browser.events(1)
            await until(lambda: sample("delivery_seconds_count") == 2)
            assert 0 < sample("delivery_seconds_sum") < HOUR_S / 60
            way.deaf = True
            deaf_before = sample("feed_deaf_total")
            await writer.commit([lost])
            await until(lambda: sample("feed_deaf_total") > deaf_before)
            way.deaf = False
            await browser.events(1)
        [report] = await Reports(redis, KEYS).take()
        assert began_s * 1000 - 1000 <= report.since <= report.until <= real() * 1000 + 1000
