"""One term of a worker as leader: its parts, and the tasks that run them.

Parts are made in the order in which they need each other: none calls one that is made after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

from bridge.events import LEADER_CHANGED, SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.journal.canary import NotPublished
from bridge.journal.clock import SharedClock
from bridge.journal.errors import JournalAway, JournalRefused
from bridge.journal.writer import Claimed
from bridge.obs.lasting import Lasting
from bridge.supervision import supervise
from bridge.worker.agenda import Agenda
from bridge.worker.attention import Attention
from bridge.worker.backlog import Backlog
from bridge.worker.dead import Burial, Replayer
from bridge.worker.directory import Directory
from bridge.worker.lease import Lease
from bridge.worker.listener import LISTEN_FAULTS, Listener
from bridge.worker.means import Means
from bridge.worker.narrowing import Narrowing
from bridge.worker.orders import OrderTaker
from bridge.worker.questions import DIRECTORY_FAULTS
from bridge.worker.reconcile import Reconciler
from bridge.worker.reports import ReportTaker
from bridge.worker.translate import Translator
from bridge.worker.upstream import UpstreamWatch

log = logging.getLogger(__name__)

_DRAIN_S: Final = 5.0
_CANARY_S: Final = 60.0
_FIRST_CANARIES_S: Final = (0.5, 2.0, 10.0)
"""For edges that start when the worker does."""
_UNSUNG_S: Final = 600.0


class Leader:
    """Leads from :meth:`run` until the lease is lost. ``left``: the ``upstream`` hash as the leader before left it."""

    def __init__(self, means: Means, claimed: Claimed, clock: SharedClock, left: Mapping[str, str]) -> None:
        options, metrics = means.options, means.metrics
        self._means = means
        self._claimed = claimed
        self._clock = clock
        self._left = left.get("state")
        self._since_ms = int(clock() * 1000)
        # In a namespace where nobody ever listened the claim itself has set it; then nothing was missed.
        heard = left.get("heard") if claimed.fence > 1 else None
        slaves: dict[str, str] = {}
        translator = Translator(options.namespace, options.privacy, slaves)
        self._lease = Lease(means.writer)
        self._backlog = Backlog(means.writer, metrics, most=options.backlog)
        self._agenda = Agenda()
        self.upstream = UpstreamWatch(
            self._announce,
            metrics,
            namespace=options.namespace,
            silence_s=options.listen_silence_s,
            heard_ms=int(heard) if heard else None,
            missed=self._agenda.after_gap,
            wall=clock,
        )
        self._directory = Directory(
            means.members,
            means.writer,
            means.mirror,
            metrics,
            slaves,
            namespace=options.namespace,
            guard=options.guard,
            fields=options.directory_fields,
            appeared=self._agenda.appeared,
            caught_up=self._backlog.caught_up,
            wall=clock,
        )
        self._listener = Listener(
            means.source,
            self._lease,
            self._backlog,
            translator,
            self.upstream,
            self._directory,
            self._agenda,
            Burial(options.privacy, names=means.source.names),
            metrics,
            silence_s=options.listen_silence_s,
            conflict_pause_s=options.conflict_pause_s,
            wall=clock,
        )
        attention = Attention(self.upstream, self._backlog, is_idle=lambda: self._listener.is_idle)
        self._reconciler = Reconciler(
            self._agenda,
            means.counts,
            means.writer,
            means.mirror,
            translator,
            metrics,
            hearing=attention.hearing,
            caught_up=attention.caught_up,
            rate=options.newcount_rate,
            sweep=options.newcount_sweep,
            wall=clock,
        )
        replayer = Replayer(
            means.writer, means.dead, translator, means.source, self._directory, self._agenda, wall=clock
        )
        self._orders = OrderTaker(
            means.orders,
            self._directory,
            replayer,
            source=means.source,
            canary=means.canary,
            describe=self.describe,
            wall=clock,
        )
        self._reports = ReportTaker(means.reports, self._announce, namespace=options.namespace, wall=clock)
        self._listening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Lead.

        Raises:
            LeaseLost, JournalAway: in a group; another worker leads.
        """
        means, options = self._means, self._means.options
        narrowing = Narrowing(means.writer, means.mirror, privacy=options.privacy, fields=options.directory_fields)
        self._announce_leader()
        self.upstream.take_over(self._left)
        await self._directory.load()
        means.metrics.leader.set(1)
        means.metrics.generation.set(self._claimed.generation)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_lease(), name="lease")
            tasks.create_task(self.upstream.watch(), name="upstream watch")
            listening = supervise(
                self._listener.session, expected=LISTEN_FAULTS, retry=options.retry, on_fault=_fault("listener")
            )
            self._listening = tasks.create_task(listening, name="listener")
            # Pushes are read meanwhile, and the lease is kept; nothing is committed before.
            await supervise(
                partial(self._narrowed, narrowing),
                # Who stands down here would drop what is read meanwhile; whether the lease is lost shows by itself.
                expected=(JournalAway,),
                retry=options.retry,
                on_fault=_fault("narrowing"),
            )
            tasks.create_task(self._backlog.run(), name="commits")
            tasks.create_task(self._reconciler.run(), name="reconcile")
            tasks.create_task(self._orders.run(), name="orders")
            tasks.create_task(self._reports.run(), name="reports")
            tasks.create_task(self._sing(), name="canary")
            pulling = supervise(
                self._directory.run, expected=DIRECTORY_FAULTS, retry=options.retry, on_fault=_fault("directory")
            )
            tasks.create_task(pulling, name="directory")

    async def _narrowed(self, narrowing: Narrowing, progress: Callable[[], None]) -> None:
        if await narrowing.applied():
            self._directory.compare_all(narrowing.noted)

    async def stop(self) -> None:
        """Stop listening; commit what was read."""
        if self._listening is not None:
            self._listening.cancel()
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._backlog.drained()
        except TimeoutError:
            log.warning("not everything could be committed", extra={"pushes": len(self._backlog)})

    def describe(self) -> Mapping[str, Any]:
        """How this leader is, for people. Times in epoch ms of Redis's clock."""
        return {
            "worker": self._means.name,
            "version": self._means.version,
            "since": self._since_ms,
            "backlog": len(self._backlog),
            "backlog_age_s": round(self._backlog.age_s, 1),
            "heard": self.upstream.heard_ms,
            "trouble": self.upstream.trouble,
        }

    def drop(self) -> None:
        """Give up what was read and is not committed: another worker leads."""
        if dropped := self._backlog.drop():
            log.warning("pushes dropped, another worker leads", extra={"pushes": dropped})

    def _announce(self, call: Announce) -> None:
        self._backlog.add([call])

    def _announce_leader(self) -> None:
        data = {"fence": self._claimed.fence, "generation": self._claimed.generation}
        namespace, time_s = self._means.options.namespace, self._clock()
        self._announce(
            Announce(build_event(namespace=namespace, stream=SYSTEM, type=LEADER_CHANGED, time_s=time_s, data=data))
        )

    async def _keep_lease(self) -> None:
        writer = self._means.writer
        generation = writer.generation
        while True:
            writer.went_back.clear()
            # At once where Redis went back: until that is said, counts of before are shown and nobody knows of the gap.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._means.options.lease_s / 3):
                    await writer.went_back.wait()
            # While something that was read is not committed, the next leader must not believe that it was.
            heard_ms = None if len(self._backlog) else self.upstream.heard_ms
            await self._lease.renew(self._clock, heard_ms=heard_ms)
            if writer.generation != generation:
                self._redis_went_back(generation)
                generation = writer.generation

    async def _sing(self) -> None:
        """Send an event along the way that mails go, each minute: edges time it, also where no mail comes."""
        unsung = Lasting(again_s=_UNSUNG_S)
        for pause_s in chain(_FIRST_CANARIES_S, repeat(_CANARY_S)):
            await asyncio.sleep(pause_s)
            try:
                await self._means.canary.sing("minute", at_s=self._clock())
                unsung.over()
            except (NotPublished, JournalAway, JournalRefused) as error:
                if unsung.is_due():
                    log.warning("no canary sent", extra={"error": str(error)})

    def _redis_went_back(self, generation: int) -> None:
        """With the generation the counts are gone, perhaps member changes too, and what was announced of the
        connection: restore all of it."""
        writer = self._means.writer
        # A server without any record: treat everything since the generation before began as missed.
        self.upstream.went_back(generation if writer.survived_ms is None else writer.survived_ms)
        self._means.metrics.generation.set(writer.generation)
        self._directory.doubt()
        self._agenda.after_gap()


def _fault(part: str) -> Callable[[Exception, float], None]:
    def tell(error: Exception, wait_s: float) -> None:
        log.warning("will try again", extra={"part": part, "error": str(error), "wait_s": round(wait_s, 2)})

    return tell
