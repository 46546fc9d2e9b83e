"""What edges report of themselves stands on ``system``, said by the leader."""

from __future__ import annotations

import asyncio
from typing import Any

from bridge.journal.calls import Announce
from bridge.journal.reports import Deafness, Reports
from bridge.simulator import Simulator
from bridge.worker.reports import MOST, WITHIN_S, ReportTaker
from tests.support.waiting import until
from tests.support.workers import KEYS, Told, running_worker


async def test_a_deaf_edge_is_told_of_on_system(redis_url: str, redis: Any, simulator: Simulator, told: Told) -> None:
    """The report was there before anybody led."""
    reports = Reports(redis, KEYS)
    await reports.tell(Deafness("oa-1:77", 5, 9))
    async with running_worker(redis_url, simulator):
        [deaf] = await told.wait("edge.deaf")
    assert deaf == {"edge": "oa-1:77", "since": 5, "until": 9}


async def test_an_edge_that_floods_is_told_of_so_often_and_no_more(redis: Any) -> None:
    """It may be anybody's. A hundred edges that were deaf at once are told of all the same; and later ones again."""
    now, told = [0.0], list[Announce]()
    reports = Reports(redis, KEYS)
    taker = ReportTaker(reports, told.append, namespace="exmail", look_s=0, clock=lambda: now[0])

    async def flood(n: int) -> None:
        await redis.lpush(KEYS.reports, *(f'{{"edge":"oa-{number}:77","since":1,"until":2}}' for number in range(n)))
        await until(is_taken)

    async def is_taken() -> bool:
        return not await redis.exists(KEYS.reports)

    taking = asyncio.create_task(taker.run())
    await flood(3 * MOST)
    await until(lambda: len(told) == MOST)
    await flood(3)
    now[0] += 2 * WITHIN_S / MOST
    await flood(5)
    await until(lambda: len(told) > MOST + 1)
    await flood(MOST)
    taking.cancel()
    await asyncio.wait([taking])
    assert len(told) == MOST + 2
