"""A provider, and an edge that serves clicks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.simulator import Simulator
from tests.support.clicks import Stage, clicking
from tests.support.workers import simulating


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating() as simulator:
        yield simulator


@pytest.fixture
async def stage(redis_url: str, simulator: Simulator) -> AsyncIterator[Stage]:
    async with clicking(redis_url, simulator) as stage:
        yield stage
