"""One worker process: stands by, leads, and stops.

Several may run; the lease says who leads. A leader that is deposed drops what it holds and stands by again: the
fence in every write keeps it from doing harm before it notices.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from bridge.events import LEADER_CHANGED, SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.journal.clock import SharedClock
from bridge.journal.dead import DeadDocuments
from bridge.journal.errors import JournalAway, LeaseLost
from bridge.journal.mirror import Mirror
from bridge.journal.orders import Orders
from bridge.journal.reports import Reports
from bridge.journal.writer import Claimed, Writer
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.provider.bizmail.client import ProviderClient
from bridge.supervision import Retry, apart, supervise
from bridge.worker.attention import Attention
from bridge.worker.backlog import Backlog
from bridge.worker.dead import Burial, Replayer
from bridge.worker.directory import DIRECTORY_FAULTS, Directory
from bridge.worker.guard import Guard
from bridge.worker.known import nobody_knows
from bridge.worker.listener import LISTEN_FAULTS, Listener
from bridge.worker.narrowing import Narrowing
from bridge.worker.orders import OrderTaker
from bridge.worker.reconcile import Reconciler
from bridge.worker.reports import ReportTaker
from bridge.worker.translate import Privacy, Translator
from bridge.worker.upstream import Upstream, nobody_listens

log = logging.getLogger(__name__)

_DRAIN_S: Final = 5.0
_CONFIRM_S: Final = 2.0
_STANDBY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is told by its settings. Times in seconds."""

    namespace: str
    privacy: Privacy
    directory_fields: Collection[str]
    lease_s: float
    backlog: int
    newcount_rate: float
    newcount_sweep: bool
    listen_silence_s: float
    conflict_pause_s: float
    guard: Guard = Guard()  # noqa: RUF009 - frozen
    retry: Retry = Retry(first_s=0.25, limit_s=30.0)  # noqa: RUF009 - frozen


class Worker:
    """Runs until it is cancelled; :meth:`stop` lets go of the lease in order."""

    def __init__(
        self,
        *,
        client: ProviderClient,
        writer: Writer,
        mirror: Mirror,
        orders: Orders,
        reports: Reports,
        dead: DeadDocuments,
        metrics: Metrics,
        options: WorkerOptions,
    ) -> None:
        self._client = client
        self._writer = writer
        self._mirror = mirror
        self._orders = orders
        self._reports = reports
        self._dead = dead
        self._metrics = metrics
        self._options = options
        self._backlog: Backlog | None = None
        self._upstream: Upstream | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopping = False

    async def run(self) -> None:
        """Stand by until the lease is free, lead until it is lost, and again.

        Raises:
            JournalRefused: Redis refuses what waiting does not mend.
        """
        # Often enough that a lease that was released is taken at once.
        pause_s = min(self._options.lease_s / 3, _STANDBY_S)
        stands_by = outage = False
        while not self._stopping:
            try:
                if outage:
                    await self._mirror.upstream()
                    # A leader that has kept its pushes over the outage comes first: it alone can still commit them.
                    await asyncio.sleep(self._options.lease_s)
                    outage = False
                claimed = await self._writer.claim()
            except JournalAway as error:
                log.warning("journal away, cannot claim", extra={"error": str(error)})
                claimed, outage = None, stands_by
            else:
                if claimed is None and not stands_by:
                    log.info("standing by, another worker leads")
                stands_by = claimed is None
            if claimed is None:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                continue
            try:
                await apart(self._lead(claimed), name="leading")
            except* LeaseLost as lost:
                log.warning("lease lost", extra={"error": _first(lost)})
            except* JournalAway as away:
                log.warning("journal away, stood down", extra={"error": _first(away)})
            finally:
                self._stood_down()

    def verdict(self) -> Unready | None:
        """``None``, or why a leader is of no use: its connection to the provider is open and nothing comes."""
        deaf = None if self._upstream is None else self._upstream.deaf
        return None if deaf is None else Unready("provider", deaf)

    def note(self) -> str | None:
        """What a leader has to say of the provider; ``None``: it listens, or this worker stands by."""
        return None if self._upstream is None else self._upstream.trouble

    async def stop(self) -> None:
        """Stop listening, commit what was read, release the lease. Whoever loses the lease now does not stand by."""
        self._stopping = True
        if self._listening is not None:
            self._listening.cancel()
        # Whoever stands down meanwhile takes it away.
        if (backlog := self._backlog) is not None:
            try:
                async with asyncio.timeout(_DRAIN_S):
                    await backlog.drained()
            except TimeoutError:
                log.warning("not everything could be committed", extra={"pushes": len(backlog)})

    async def close(self) -> None:
        """Release the lease, so that another worker leads at once. After :meth:`run` has ended."""
        try:
            await self._writer.close(timeout_s=2.0)
        except (JournalAway, TimeoutError) as error:
            log.warning("lease not released, it runs out by itself", extra={"error": str(error)})

    def _stood_down(self) -> None:
        self._metrics.leader.set(0)
        nobody_listens(self._metrics)
        nobody_knows(self._metrics)
        # What a standby knows of the cursor is nothing.
        self._metrics.cursor_age.set_function(lambda: 0.0)
        if self._backlog is not None and (dropped := self._backlog.drop()):
            log.warning("pushes dropped, another worker leads", extra={"pushes": dropped})
        self._backlog = None
        self._upstream = None
        self._listening = None

    async def _lead(self, claimed: Claimed) -> None:
        options = self._options
        metrics = self._metrics
        log.info("leading", extra={"fence": claimed.fence, "generation": claimed.generation})
        slaves: dict[str, str] = {}
        backlog = self._backlog = Backlog(self._writer, metrics, most=options.backlog)
        clock = SharedClock(self._mirror.now_ms)
        await clock.look()
        left = await self._mirror.upstream()
        # The claim has set it where nobody ever listened; then nothing was missed.
        heard = left.get("heard") if claimed.fence > 1 else None
        translator = Translator(options.namespace, options.privacy, slaves)
        reconciler = Reconciler(
            self._client,
            self._writer,
            self._mirror,
            translator,
            metrics,
            hearing=lambda: attention.hearing(),
            caught_up=lambda: attention.caught_up(),
            rate=options.newcount_rate,
            sweep=options.newcount_sweep,
            wall=clock,
        )
        upstream = self._upstream = Upstream(
            lambda call: backlog.add([call]),
            metrics,
            namespace=options.namespace,
            silence_s=options.listen_silence_s,
            heard_ms=int(heard) if heard else None,
            missed=reconciler.after_gap,
            wall=clock,
        )
        directory = Directory(
            self._client,
            self._writer,
            self._mirror,
            metrics,
            slaves,
            namespace=options.namespace,
            guard=options.guard,
            fields=options.directory_fields,
            appeared=reconciler.appeared,
            wall=clock,
        )
        listener = Listener(
            self._client,
            backlog,
            translator,
            upstream,
            Burial(options.privacy),
            version=directory.version,
            online=reconciler.after_gap,
            count=reconciler.ask,
            metrics=metrics,
            cursor=lambda: directory.cursor,
            silence_s=options.listen_silence_s,
            conflict_pause_s=options.conflict_pause_s,
            before_connect=self._confirm_lease,
            wall=clock,
        )
        attention = Attention(upstream, backlog, is_idle=lambda: listener.is_idle)
        replayer = Replayer(
            self._writer, self._dead, translator, version=directory.version, count=reconciler.ask, wall=clock
        )
        narrowing = Narrowing(self._writer, self._mirror, privacy=options.privacy, fields=options.directory_fields)
        self._tell_leader(backlog, claimed, clock())
        upstream.take_over(left.get("state"))
        await directory.load()
        metrics.leader.set(1)
        metrics.generation.set(claimed.generation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_lease(clock, backlog, upstream, directory, reconciler), name="lease")
            tasks.create_task(upstream.watch(), name="upstream watch")
            self._listening = tasks.create_task(
                supervise(listener.session, expected=LISTEN_FAULTS, retry=options.retry, on_fault=_fault("listener")),
                name="listener",
            )
            # Pushes are read meanwhile, and the lease is kept; nothing is committed before.
            if await narrowing.applied():
                directory.compare_all(narrowing.noted)
            tasks.create_task(backlog.run(), name="commits")
            tasks.create_task(reconciler.run(), name="reconcile")
            tasks.create_task(OrderTaker(self._orders, directory, replayer).run(), name="orders")
            tasks.create_task(
                ReportTaker(
                    self._reports, lambda call: backlog.add([call]), namespace=options.namespace, wall=clock
                ).run(),
                name="reports",
            )
            tasks.create_task(
                supervise(directory.run, expected=DIRECTORY_FAULTS, retry=options.retry, on_fault=_fault("directory")),
                name="directory",
            )

    def _tell_leader(self, backlog: Backlog, claimed: Claimed, time_s: float) -> None:
        data = {"fence": claimed.fence, "generation": claimed.generation}
        event = build_event(
            namespace=self._options.namespace,
            stream=SYSTEM,
            type=LEADER_CHANGED,
            time_s=time_s,
            data=data,
        )
        backlog.add([Announce(event)])

    async def _confirm_lease(self) -> None:
        """Make sure that nobody else leads, as far as Redis can be asked; while it is away, listening goes on.

        A worker that slept past its lease must not take the provider's one connection from its successor.

        Raises:
            LeaseLost
        """
        try:
            async with asyncio.timeout(_CONFIRM_S):
                await self._writer.keep()
        except (JournalAway, TimeoutError) as error:
            log.warning("journal away, lease not confirmed", extra={"error": str(error) or "no answer in time"})

    async def _keep_lease(
        self,
        clock: SharedClock,
        backlog: Backlog,
        upstream: Upstream,
        directory: Directory,
        reconciler: Reconciler,
    ) -> None:
        generation = self._writer.generation
        while True:
            await asyncio.sleep(self._options.lease_s / 3)
            try:
                # What was heard and is not committed yet would be missing between this leader and the next.
                await self._writer.keep(heard_ms=None if len(backlog) else upstream.heard_ms)
                await clock.look()
            except JournalAway as error:
                # Pushes are kept meanwhile; whether the lease still is ours shows when Redis answers.
                log.warning("journal away, lease not renewed", extra={"error": str(error)})
            if self._writer.generation != generation:
                # Redis went back: the counts that browsers look at are gone with the old generation, and so may be
                # member changes and what was said about the connection.
                survived_ms = self._writer.survived_ms
                # Of a server that knows nothing everything is gone, from the beginning of the generation of before.
                upstream.went_back(generation if survived_ms is None else survived_ms)
                generation = self._writer.generation
                self._metrics.generation.set(generation)
                directory.doubt()
                reconciler.after_gap()


def _first(group: BaseExceptionGroup[Exception]) -> str:
    """The words of the first error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _fault(part: str) -> Callable[[Exception, float], None]:
    def tell(error: Exception, wait_s: float) -> None:
        log.warning("will try again", extra={"part": part, "error": str(error), "wait_s": round(wait_s, 2)})

    return tell
