"""What a worker's metrics say of the provider: until when its token is used, and by which code it refused calls."""

from __future__ import annotations

import time

from bridge.simulator import Kind, Simulator
from tests.support.waiting import until
from tests.support.workers import running_worker


async def test_the_tokens_end_and_the_refusals_by_code_are_shown(redis_url: str, simulator: Simulator) -> None:
    """A code that no document names is counted as another."""
    simulator.faults.on(Kind.ERRCODE, endpoint="user/list", value=1002, times=1)
    async with running_worker(redis_url, simulator) as worker:
        await until(lambda: worker.metric("provider_refusals_total", code="1002") == 1)
        assert worker.metric("token_expires_timestamp_seconds") > time.time()
        simulator.faults.on(Kind.ERRCODE, endpoint="user/list", value=4711)
        simulator.world.add_user("new@gzdev.com")
        await until(lambda: worker.metric("provider_refusals_total", code="other") >= 1)
