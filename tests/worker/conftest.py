"""The worker's parts on a real Valkey and a simulated provider, each for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import aiohttp
import pytest

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Outcome, Writer
from bridge.obs.metrics import Metrics
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.members import BizMailMembers
from bridge.provider.bizmail.ports import BizMailCounts
from bridge.simulator import Simulator
from bridge.worker.agenda import Agenda
from bridge.worker.directory import Directory, DirectoryPace
from bridge.worker.fold import FIELDS
from bridge.worker.guard import Guard
from bridge.worker.reconcile import ReconcilePace, Reconciler
from bridge.worker.translate import Translator
from tests.support.stage import LEASE_S
from tests.support.waiting import PATIENCE_S
from tests.support.workers import KEYS, Told, sample, simulating
from tests.support.workers import brisk as brisk

ALL_FIELDS = FIELDS
QUICK = DirectoryPace(
    look_s=3600,
    hurt_look_s=3600,
    idle_s=0.01,
    idle_most_s=0.05,
    second_look_s=0,
    push_s=0,
    overtaking_s=0,
)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating() as running:
        yield running


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    yield client
    await client.aclose()


@pytest.fixture
def told(redis: Any) -> Told:
    return Told(redis)


async def nothing_waits() -> None:
    """All that was read is committed."""


@dataclass(slots=True)
class Parts:
    """What a leader hands to its parts. ``after_batch`` is told the outcomes of each commit; ``wall`` is a clock."""

    redis: Any
    client: ProviderClient
    mirror: Mirror
    metrics: Metrics = field(default_factory=Metrics)
    slaves: dict[str, str] = field(default_factory=dict)
    appeared: list[str] = field(default_factory=list)
    wall: Callable[[], float] = time.time
    caught_up: Callable[[], Awaitable[None]] = nothing_waits
    after_batch: Callable[[Collection[Outcome]], None] = lambda outcomes: None

    @property
    def members(self) -> BizMailMembers:
        """It waits for a lagging provider, but not long."""
        return BizMailMembers(self.client, lag_waits_s=(0.01, 0.02, 0.03), short_waits_s=(0.01, 0.02))

    async def writer(self) -> Writer:
        """A new leader's; one before it is deposed."""
        await self.redis.delete(KEYS.lease)
        writer = Writer(
            self.redis,
            KEYS,
            lease_s=LEASE_S,
            retention=Retention(),
            on_batch=lambda seconds, outcomes: self.after_batch(outcomes),
        )
        assert await writer.claim() is not None
        return writer

    async def directory(
        self,
        fields: Collection[str] = ALL_FIELDS,
        *,
        writer: Writer | None = None,
        guard: Guard | None = None,
        **pace: Any,
    ) -> Directory:
        """A new leader's directory, loaded."""
        directory = Directory(
            self.members,
            writer or await self.writer(),
            self.mirror,
            self.metrics,
            self.slaves,
            namespace="exmail",
            guard=guard or Guard(),
            fields=fields,
            appeared=self.appeared.append,
            caught_up=self.caught_up,
            pace=replace(QUICK, **pace),
            wall=self.wall,
        )
        await directory.load()
        return directory

    async def reconciler(
        self,
        *,
        rate: float = 1000,
        sweep: bool = False,
        hearing: Callable[[], tuple[int, float] | None] = lambda: (1, inf),
        caught_up: Callable[[], Awaitable[bool]] | None = None,
        **pace: float,
    ) -> Reconciler:
        translator = Translator("exmail", "full", self.slaves)
        return Reconciler(
            Agenda(),
            BizMailCounts(self.client),
            await self.writer(),
            self.mirror,
            translator,
            self.metrics,
            hearing=hearing,
            caught_up=caught_up or self._caught_up,
            rate=rate,
            sweep=sweep,
            pace=ReconcilePace(**{"look_s": 0.02, "settle_s": 0.05, "away_s": 0.05, **pace}),
        )

    async def _caught_up(self) -> bool:
        return True

    def metric(self, name: str, **labels: str) -> float:
        return sample(self.metrics, name, **labels)


@pytest.fixture
async def parts(redis: Any, simulator: Simulator) -> AsyncIterator[Parts]:
    async with aiohttp.ClientSession() as session:
        client = ProviderClient(
            api_url=simulator.url,
            auth_url=simulator.url,
            client_id=simulator.world.client_id,
            client_secret=lambda: simulator.world.client_secret,
            session=session,
            busy_wait_s=0,
            timeout_s=PATIENCE_S,
        )
        yield Parts(redis, client, Mirror(redis, KEYS))


async def pulled(directory: Directory) -> None:
    """Let a directory run until it has pulled once.

    Raises:
        What its pull raised.
    """
    done = asyncio.Event()
    task = asyncio.create_task(directory.run(done.set), name="directory")
    waiting = asyncio.create_task(done.wait(), name="pulled")
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
    waiting.cancel()
    task.cancel()
    await asyncio.wait([task, waiting])
    if not task.cancelled():
        task.result()
    assert done.is_set(), "the directory did not pull"
