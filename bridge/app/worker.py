"""The worker process."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Final

from bridge import __version__
from bridge.app.guard import guard_of
from bridge.app.parts import (
    RedisHealth,
    build_reader,
    ended,
    process_name,
    redis_accepted,
    redis_address,
    retention,
    until_stopped,
)
from bridge.app.provider import corporation_of, running_client
from bridge.app.reloading import on_hangup
from bridge.journal.canary import Canary
from bridge.journal.corporation import NotOurs
from bridge.journal.databases import Databases
from bridge.journal.dead import DeadDocuments
from bridge.journal.errors import JournalError, JournalRefused, JournalSpoilt
from bridge.journal.groups import Groups
from bridge.journal.inquiry import Inquiries, Memory
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.orders import Orders
from bridge.journal.reports import Reports
from bridge.journal.standbys import Standbys
from bridge.journal.writer import Writer
from bridge.obs.admin import Admin
from bridge.obs.garbage import Garbage
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.obs.systemd import Notices, Watched
from bridge.provider.bizmail.members import BizMailMembers
from bridge.provider.bizmail.ports import BizMailCounts, BizMailSource
from bridge.settings import Present, Settings
from bridge.supervision import Shutdown, StartRefused
from bridge.worker.backlog import observe
from bridge.worker.means import Means
from bridge.worker.neighbours import NeighbourWatch
from bridge.worker.options import WorkerOptions
from bridge.worker.process import this_process
from bridge.worker.readers import ReaderWatch
from bridge.worker.worker import Worker

log = logging.getLogger(__name__)

_REDIS_S: Final = 2.0


async def run_worker(present: Present) -> None:
    """Run a worker until SIGTERM or Ctrl-C."""
    metrics = Metrics(namespace=present.settings.namespace, version=__version__, edge=False)
    Garbage()
    watched = Watched()
    with Shutdown(reload=on_hangup(present, watched)) as shutdown:
        async with watched.attend(shutdown.event):
            await serve_worker(present.settings, metrics, shutdown.event, admin=True, watched=watched)


async def serve_worker(
    settings: Settings,
    metrics: Metrics,
    stop: asyncio.Event,
    *,
    admin: bool,
    recollect_s: float = 2.0,
    watched: Watched | None = None,
) -> None:
    """Run a worker until ``stop``. With ``admin`` its metrics and health have a port.

    ``watched`` is told how it is. ``recollect_s``: how long a new leader waits, before its first commit, for the edges'
    memories.

    Shutdown: stop listening, commit what was read, release the lease.
    """
    watched = watched or Watched(Notices({}))
    address = redis_address(settings)
    redis = address.client()
    keys = Keys(settings.namespace, sharded=settings.redis.sharded)
    reader = build_reader(settings, redis)
    health = RedisHealth(reader, metrics, beat=watched.beat)
    leading: list[Worker] = []

    def ready() -> Unready | None:
        return health.writable() or next((why for worker in leading if (why := worker.verdict())), None)

    def note() -> str | None:
        return next((note for worker in leading if (note := worker.note())), None)

    port = Admin(
        metrics=metrics,
        host=settings.worker.admin_listen.host,
        port=settings.worker.admin_listen.port,
        alive=lambda: None,
        ready=ready,
        note=note,
    )
    if admin:
        await port.start()
    watched.up(ready, note)
    try:
        mirror = Mirror(redis, keys)
        if not await redis_accepted(reader, stop, mirror=mirror, beat=watched.beat):
            return
        async with running_client(settings, redis, metrics) as client:
            inquiries = Inquiries(redis, keys)

            async def recollect() -> Memory:
                try:
                    return await inquiries.recollect(within_s=recollect_s)
                except JournalRefused as error:
                    log.warning(
                        "edges cannot be asked what they remember: this user's rights are an older release's",
                        extra={"error": str(error)},
                    )
                    return Memory()

            writer = Writer(
                redis,
                keys,
                lease_s=settings.worker.lease_s,
                retention=retention(settings),
                corporation=corporation_of(settings),
                recollect=recollect,
                name=f"{secrets.token_hex(8)}@{this_process()}",
                on_batch=lambda seconds, outcomes: observe(metrics, seconds, outcomes),
                one_server=address.names_one_server,
            )
            worker = Worker(
                Means(
                    source=BizMailSource(client),
                    members=BizMailMembers(client),
                    counts=BizMailCounts(client),
                    writer=writer,
                    mirror=mirror,
                    orders=Orders(redis, keys),
                    reports=Reports(redis, keys),
                    standbys=Standbys(redis, keys),
                    canary=Canary(writer, keys),
                    dead=DeadDocuments(redis, keys),
                    metrics=metrics,
                    options=_options(settings),
                    name=process_name(),
                    version=__version__,
                )
            )

            leading.append(worker)
            neighbours = NeighbourWatch(Databases(redis, keys))
            readers = ReaderWatch(Groups(redis, keys), mirror, metrics, most=retention(settings).events_max)

            async def run() -> None:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(address.watch(), name="redis whereabouts")
                    tasks.create_task(health.watch(), name="redis health")
                    tasks.create_task(readers.run(), name="readers")
                    tasks.create_task(neighbours.run(), name="neighbours")
                    tasks.create_task(worker.run(), name="worker")

            try:
                task = await until_stopped(run, stop, name="worker")
                await worker.stop()
                await ended(task)
            except* NotOurs as group:
                raise StartRefused(str(NotOurs(settings.namespace))) from group
            except* (JournalRefused, JournalSpoilt) as group:
                if why := await _spoilt(mirror):
                    raise StartRefused(f"Redis will not do: {why}") from group
                raise
            finally:
                # A worker that ends with an error must release the lease for the others too.
                await worker.close()
    finally:
        await port.stop()
        await redis.aclose()


async def _spoilt(mirror: Mirror) -> str | None:
    """Which key that concerns everybody got another type while we ran; ``None``: none, as far as is known."""
    try:
        async with asyncio.timeout(_REDIS_S):
            await mirror.check()
    except JournalSpoilt as error:
        return str(error)
    except (JournalError, TimeoutError):
        pass
    return None


def _options(settings: Settings) -> WorkerOptions:
    return WorkerOptions(
        namespace=settings.namespace,
        privacy=settings.privacy,
        directory_fields=settings.directory.fields,
        guard=guard_of(settings),
        lease_s=settings.worker.lease_s,
        backlog=settings.worker.backlog,
        newcount_rate=settings.worker.newcount_rate,
        newcount_sweep=settings.worker.newcount_sweep == "on",
        listen_silence_s=settings.provider.listen_silence_s,
        conflict_pause_s=settings.provider.conflict_pause_s,
    )
