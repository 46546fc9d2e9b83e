"""What edges report of themselves stands on ``system``, said by the leader."""

from __future__ import annotations

from typing import Any

from bridge.journal.reports import Deafness, Reports
from bridge.simulator import Simulator
from tests.support.workers import KEYS, Told, running_worker


async def test_a_deaf_edge_is_told_of_on_system(redis_url: str, redis: Any, simulator: Simulator, told: Told) -> None:
    """The report was there before anybody led."""
    reports = Reports(redis, KEYS)
    await reports.tell(Deafness("oa-1:77", 5, 9))
    async with running_worker(redis_url, simulator):
        [deaf] = await told.wait("edge.deaf")
    assert deaf == {"edge": "oa-1:77", "since": 5, "until": 9}
