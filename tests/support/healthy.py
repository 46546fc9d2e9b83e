"""A healthy installation for the doctor, and what he is given to judge it: a server that keeps everything, a provider,
a worker that leads and one that stands by, an edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from bridge.doctor.check import Check, examine
from bridge.doctor.finding import Outcome
from bridge.doctor.means import Means
from bridge.journal.embedded import EmbeddedServer
from bridge.settings import load_settings
from bridge.simulator import Simulator
from tests.support.stage import SECRET, running_edge
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import RunningWorker, running_worker, simulating, worker_environment

KEEPING = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}


@dataclass
class Stage:
    """What runs. ``worker`` leads, ``standby`` does not."""

    simulator: Simulator
    worker: RunningWorker
    standby: RunningWorker
    environ: dict[str, str]

    def means(self, *, environ: Mapping[str, str] | None = None, **more: Any) -> Means:
        """What the doctor is given: the settings of all, changed by ``environ``."""
        settings = load_settings({**self.environ, **(environ or {})}, None)
        return Means(**{"units": {"worker": settings, "edge": settings}, "operator": settings, **more})


@asynccontextmanager
async def healthy(server: EmbeddedServer, *, edge: bool = True, **environ: str) -> AsyncIterator[Stage]:
    """All of it, until the end of the block."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(simulating())
        worker = await stack.enter_async_context(running_worker(server.url, simulator))
        await worker.until_leading()
        standby = await stack.enter_async_context(running_worker(server.url, simulator))
        if edge:
            await stack.enter_async_context(running_edge(server.url, **environ))
        given = worker_environment(server.url, simulator, BRIDGE_EDGE_JWT_SECRET=SECRET, **environ)
        await until(lambda: worker.metric("upstream_connected") == 1)
        yield Stage(simulator, worker, standby, given)


def patient(checks: Sequence[Check]) -> list[Check]:
    """The same, with as much time as tests have."""
    return [replace(check, within_s=PATIENCE_S) for check in checks]


async def judged(check: Check, means: Means) -> Outcome:
    """What one check comes to."""
    [outcome] = await examine(patient([check]), means, within_s=PATIENCE_S)
    return outcome


def codes(outcome: Outcome) -> list[str]:
    """The codes of its findings, then those of what it could not judge, with a ``?``."""
    return [each.code for each in outcome.findings] + [f"?{each.code}" for each in outcome.not_judged]
