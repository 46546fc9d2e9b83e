"""Who may take the provider's one connection: the worker that leads, and no other."""

from __future__ import annotations

import asyncio

import pytest

from bridge.journal.errors import LeaseLost
from bridge.provider.bizmail.ports import BizMailSource
from bridge.simulator import Simulator
from bridge.worker.agenda import Agenda
from bridge.worker.backlog import Backlog
from bridge.worker.dead import Burial
from bridge.worker.lease import Lease
from bridge.worker.listener import Listener
from bridge.worker.translate import Translator
from tests.support.waiting import PATIENCE_S, until

from .conftest import Parts
from .test_upstream_state import Watched


async def test_a_worker_that_slept_past_its_lease_leaves_the_connection_alone(
    parts: Parts, simulator: Simulator
) -> None:
    """It asks who leads before each connection; its successor may have that already, and would lose it."""
    writer, source = await parts.writer(), BizMailSource(parts.client)
    listener = Listener(
        source,
        Lease(writer),
        Backlog(writer, parts.metrics, most=10),
        Translator("exmail", "full", {}),
        Watched().upstream,
        await parts.directory(writer=writer),
        Agenda(),
        Burial("full", names=source.names),
        parts.metrics,
        silence_s=45,
        conflict_pause_s=180,
    )
    leading = asyncio.create_task(listener.session(lambda: None))
    await simulator.listeners.wait_hearing()
    leading.cancel()
    await asyncio.wait([leading])
    # What is left is closed, whoever leaves it.
    await until(lambda: simulator.listeners.count == 0)
    asked = len(simulator.calls.of("listen"))
    assert asked > 0
    await parts.writer()
    with pytest.raises(LeaseLost):
        async with asyncio.timeout(PATIENCE_S):
            await listener.session(lambda: None)
    assert len(simulator.calls.of("listen")) == asked
