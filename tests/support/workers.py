"""A stage for tests of the worker: a simulated provider, workers beside it, and what they tell on Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.app.worker import serve_worker
from bridge.journal.keys import Keys
from bridge.obs.metrics import Metrics
from bridge.settings import Settings, load_settings
from bridge.simulator import DirectoryEntry, Mail, Simulator, UnreadCount, World
from bridge.supervision import Retry
from bridge.worker.options import WorkerOptions
from bridge.worker.orders import OrderTaker
from bridge.worker.reconcile import ReconcilePace, Reconciler
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
KEYS = Keys("exmail")
BOB = "bob@gzdev.com"
WAIT_S = PATIENCE_S
LEASE = {"BRIDGE_WORKER_LEASE": "15"}
"""Longer than a leader of a test may stand still. What waits for a lease to run out lets it, see :func:`lapsed`."""


HASTY_FIRST_S = 0.025


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of this process look for orders and for opened mailboxes ten times as often as in life: what they do is
    the same. Only they are not quicker to believe a count: what is pushed outruns it, or waits behind a slow document.

    For every test of a file that imports it.
    """
    monkeypatch.setitem(OrderTaker.__init__.__kwdefaults__, "look_s", 0.05)
    monkeypatch.setitem(Reconciler.__init__.__kwdefaults__, "pace", ReconcilePace(look_s=0.05, away_s=0.2))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of this process tries again ten times as soon as in life."""
    soon = Retry(first_s=HASTY_FIRST_S, limit_s=3.0)
    monkeypatch.setattr("bridge.app.worker.WorkerOptions", partial(WorkerOptions, retry=soon))


class Truth:
    """What happened in a world from now on, in the words of the events that should tell of it."""

    def __init__(self, world: World) -> None:
        self.happened: list[tuple[str, str, int]] = []
        world.watch(self._note)

    def _note(self, changes: Sequence[Mail | UnreadCount | DirectoryEntry]) -> None:
        for change in changes:
            if isinstance(change, Mail):
                self.happened.append((change.mailbox, change.mail_id, change.unread))
            elif isinstance(change, UnreadCount):
                self.happened.append((change.mailbox, "", change.unread))

    def of(self, mailbox: str) -> list[tuple[str, str, int]]:
        return [each for each in self.happened if each[0] == mailbox]


class Told:
    """What is on Redis: ``{ns}:events`` as any other service reads it."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """All events so far, oldest first; of these types (without ``exmail.``) if any are given."""
        entries = await self.redis.xrange(KEYS.events)
        found = [orjson.loads(fields[b"event"]) for _, fields in entries]
        return [event for event in found if not types or event["type"].removeprefix("exmail.") in types]

    async def data(self, *types: str) -> list[dict[str, Any]]:
        """The ``data`` of such events."""
        return [event["data"] for event in await self.events(*types)]

    async def mails(self) -> list[tuple[str, str, int]]:
        """Mailbox events in the words of :class:`Truth`."""
        return [
            (data["mailbox"], data.get("mail_id", ""), data["unread"])
            for data in await self.data("mail.new", "mail.unread")
        ]

    async def redial(self) -> None:
        """The server was restarted: forget the connections of before."""
        await self.redis.connection_pool.disconnect()

    async def wait(self, type: str, n: int = 1) -> list[dict[str, Any]]:
        """Wait until there are ``n`` events of a type; return their data."""
        await until(lambda: self._has(type, n))
        return await self.data(type)

    async def _has(self, type: str, n: int) -> bool:
        return len(await self.data(type)) >= n

    async def wait_mails(self, n: int) -> list[tuple[str, str, int]]:
        """Wait until there are ``n`` mailbox events; return them."""

        async def there() -> bool:
            return len(await self.mails()) >= n

        await until(there)
        return await self.mails()

    async def upstream(self) -> str | None:
        """The state in the upstream hash."""
        state: bytes | None = await self.redis.hget(KEYS.upstream, "state")
        return None if state is None else state.decode()


CLOCK_MS = 5000
"""How far a worker's idea of Redis's clock may be from that of this process: half of what its first look took."""


async def lapsed(redis: Any) -> None:
    """The lease runs out now: its holder has slept for as long as it lasts."""
    await redis.delete(KEYS.lease)


@asynccontextmanager
async def simulating(users: int = 5, *, seed: int = 1, **options: Any) -> AsyncIterator[Simulator]:
    """A provider that runs; ``options`` go to ``Simulator.start``."""
    # It may refuse for a while, and listens on the same port again.
    async with await Simulator.start(World(seed, users=users), **{"port": free_port(), **options}) as simulator:
        yield simulator


def worker_environment(redis_url: str, simulator: Simulator, **environ: str) -> dict[str, str]:
    return {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PROVIDER_API_URL": simulator.url,
        "BRIDGE_PROVIDER_AUTH_URL": simulator.url,
        "BRIDGE_PROVIDER_CLIENT_ID": simulator.world.client_id,
        "BRIDGE_PROVIDER_CLIENT_SECRET": simulator.world.client_secret,
        "BRIDGE_WORKER_ADMIN_LISTEN": "127.0.0.1:0",
        **LEASE,
        "BRIDGE_WORKER_NEWCOUNT_RATE": "1000",
        **environ,
    }


class RunningWorker:
    """A worker in this process. ``ended`` tells how it went, once it has."""

    def __init__(self, settings: Settings) -> None:
        self.metrics = Metrics(version="test", edge=False)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(
            serve_worker(settings, self.metrics, self.stop, admin=False, recollect_s=0), name="worker"
        )

    def metric(self, name: str, **labels: str) -> float:
        return sample(self.metrics, name, **labels)

    @property
    def leads(self) -> bool:
        return self.metric("leader") == 1

    async def until_leading(self) -> None:
        await until(lambda: self.leads or self.task.done())
        if self.task.done():
            self.task.result()

    async def end(self) -> None:
        """Stop in order, as SIGTERM does."""
        self.stop.set()
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE_S)


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of one series, without the common prefix; 0 where there is none."""
    return metrics.registry.get_sample_value(f"exmail_bridge_{name}", labels) or 0.0


@asynccontextmanager
async def running_worker(redis_url: str, simulator: Simulator, **environ: str) -> AsyncIterator[RunningWorker]:
    """A worker in this process; the end of the block stops it in order, and shows what it died of."""
    worker = RunningWorker(load_settings(worker_environment(redis_url, simulator, **environ), None))
    try:
        yield worker
    finally:
        await worker.end()


@contextmanager
def worker_program(
    folder: Path, redis_url: str, simulator: Simulator, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as a program of its own, for signals; killed at the end if it still runs. It speaks into ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    with (folder / "worker.log").open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", "worker"],
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), **worker_environment(redis_url, simulator, **environ)},
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
