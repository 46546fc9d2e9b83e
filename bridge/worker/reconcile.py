"""Ask the provider for counts that pushes cannot have kept right.

After a gap: the mailboxes that are online or were active lately. At any time: a mailbox that a browser opened and
whose count is unknown or old. Each is asked once however often it is wanted, within a call budget, and the answer
applies only if nothing was pushed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bridge.journal.errors import JournalAway
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.provider.client import ProviderClient
from bridge.provider.errors import NotFound, ProviderError, ProviderRefused
from bridge.worker.profiles import CONCERNS_ALL
from bridge.worker.translate import Translator

log = logging.getLogger(__name__)

_ASKERS: Final = 4
_UNKNOWN_MOST: Final = 10_000
_TURNS: Final = 3
"""Of the event loop: one in which the socket is looked at, one in which it is read, one to be sure."""


@dataclass(frozen=True, slots=True)
class ReconcilePace:
    """Seconds. ``look_s``: between looks for wanted mailboxes · ``settle_s``: after a push, until the provider's own
    count has caught up with it and no other push is under way · ``away_s``: before asking again what could not be
    answered · ``unknown_s``: before asking again for a mailbox that the provider does not tell of · ``fresh_s``: how
    old a stored count may be."""

    look_s: float = 0.5
    settle_s: float = 1.0
    away_s: float = 2.0
    unknown_s: float = 600.0
    fresh_s: float = 600.0


USUAL_PACE: Final = ReconcilePace()


class Budget:
    """At most ``rate`` turns a second, evenly; what was not used is not saved. ``now`` gives seconds."""

    def __init__(self, rate: float, *, now: Callable[[], float]) -> None:
        self._interval_s = 1 / rate
        self._now = now
        self._next_s = 0.0

    def turn_s(self) -> float:
        """Take the next turn; return how many seconds it is away."""
        now = self._now()
        due = max(self._next_s, now)
        self._next_s = due + self._interval_s
        return due - now


class Reconciler:
    """Corrects counts for a leader, and tells what was missed.

    ``rate`` bounds calls of ``mail/newcount`` a second; ``quiet`` says whether all pushes that came are committed.
    """

    def __init__(
        self,
        client: ProviderClient,
        writer: Writer,
        mirror: Mirror,
        translator: Translator,
        metrics: Metrics,
        *,
        rate: float,
        quiet: Callable[[], bool] = lambda: True,
        pace: ReconcilePace = USUAL_PACE,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._mirror = mirror
        self._translator = translator
        self._metrics = metrics
        self._budget = Budget(rate, now=time.monotonic)
        self._batch = max(1, int(rate))
        self._quiet = quiet
        self._pace = pace
        self._wall = wall
        self._urgent: dict[str, None] = {}
        self._later: dict[str, None] = {}
        self._asking: set[str] = set()
        self._resting: dict[str, asyncio.TimerHandle] = {}
        self._suspected: dict[str, int] = {}
        self._unknown: dict[str, float] = {}
        self._something = asyncio.Event()
        self._gap = asyncio.Event()

    def after_gap(self) -> None:
        """Pushes were missed; ask for everybody who may notice."""
        self._gap.set()

    def ask(self, mailbox: str) -> None:
        """The count of this mailbox changed and nobody said to what."""
        self._queue(self._later, [mailbox])

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect_wanted(), name="wanted counts")
                tasks.create_task(self._collect_after_gaps(), name="counts after gaps")
                for number in range(_ASKERS):
                    tasks.create_task(self._ask_on(), name=f"ask for counts {number}")
        finally:
            for resting in self._resting.values():
                resting.cancel()
            self._resting.clear()

    async def _collect_wanted(self) -> None:
        while True:
            with suppress(JournalAway):
                # No more than can be asked soon: what is taken would be lost with this process.
                if len(self._urgent) < self._batch:
                    wanted = await self._mirror.take_wanted(self._batch)
                    # Who is being asked for already has the answer coming.
                    self._queue(self._urgent, (mailbox for mailbox in wanted if mailbox not in self._asking))
            await asyncio.sleep(self._pace.look_s)

    async def _collect_after_gaps(self) -> None:
        while True:
            await self._gap.wait()
            self._gap.clear()
            try:
                mailboxes = [*await self._mirror.online(), *await self._mirror.active()]
                await self._mirror.forget_offline()
            except JournalAway:
                self._gap.set()
                await asyncio.sleep(self._pace.look_s)
                continue
            # A gap makes every stored count doubtful, the fresh ones too.
            self._queue(self._later, dict.fromkeys(mailboxes))

    def _queue(self, queue: dict[str, None], mailboxes: Iterable[str]) -> None:
        for mailbox in mailboxes:
            if self._unknown.get(mailbox, 0) < self._wall():
                queue[mailbox] = None
        if queue:
            self._something.set()

    def _rest(self, queue: dict[str, None], mailbox: str, for_s: float) -> None:
        """Take this mailbox up again later; meanwhile others have their turn."""

        def again() -> None:
            del self._resting[mailbox]
            self._queue(queue, [mailbox])

        if mailbox not in self._resting:
            self._resting[mailbox] = asyncio.get_running_loop().call_later(for_s, again)

    def _take(self) -> tuple[str, bool] | None:
        """The next mailbox, and whether its count is doubtful also where it is fresh."""
        for queue in (self._urgent, self._later):
            if queue:
                mailbox = next(iter(queue))
                doubtful = mailbox in self._later
                self._urgent.pop(mailbox, None)
                self._later.pop(mailbox, None)
                return mailbox, doubtful
        return None

    async def _ask_on(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                self._something.clear()
                await self._something.wait()
                continue
            mailbox, doubtful = taken
            queue = self._later if doubtful else self._urgent
            self._asking.add(mailbox)
            try:
                if not await self._corrected(mailbox, only_if_old=not doubtful):
                    self._rest(queue, mailbox, self._pace.settle_s)
            except (ProviderError, JournalAway) as error:
                self._metrics.reconciled.labels(result="failed").inc()
                log.warning("count not read", extra={"error": str(error)})
                if isinstance(error, ProviderRefused) and not isinstance(error, CONCERNS_ALL):
                    self._leave_alone(mailbox)
                    continue
                self._queue(queue, [mailbox])
                await asyncio.sleep(self._pace.away_s)
            finally:
                self._asking.discard(mailbox)

    def _leave_alone(self, mailbox: str) -> None:
        """The provider has nothing to tell of this mailbox: not asked again for a while."""
        now = self._wall()
        if len(self._unknown) >= _UNKNOWN_MOST:
            self._unknown = {each: until for each, until in self._unknown.items() if until > now}
        self._unknown[mailbox] = now + self._pace.unknown_s

    async def _corrected(self, mailbox: str, *, only_if_old: bool) -> bool:
        """Ask for one count; ``False`` where it must be asked for again.

        Because a push came in between, or because mails seem to be missing.
        """
        [stored] = await self._mirror.counted([mailbox])
        now_ms = self._wall() * 1000
        if stored.as_of is not None:
            fresh = stored.as_of > now_ms - self._pace.fresh_s * 1000
            if only_if_old and fresh and stored.unread is not None and not stored.doubtful:
                return True
            if 0 <= now_ms - stored.as_of < self._pace.settle_s * 1000:
                # A push outruns the provider's own count; an answer now could be the older one.
                return False
        await asyncio.sleep(self._budget.turn_s())
        # Read after the wait for our turn: what was pushed in it is no reason to ask twice.
        [stored] = await self._mirror.counted([mailbox])
        try:
            unread = await self._client.newcount(mailbox)
        except NotFound:
            self._leave_alone(mailbox)
            self._metrics.reconciled.labels(result="failed").inc()
            return True
        # What came before the answer gets its turn: a process that slept finds both at once.
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        # Nothing was pushed since an earlier answer that seemed to tell of missed mails, and nothing is under way.
        sure = self._suspected.pop(mailbox, None) == stored.seq and self._quiet()
        call = self._translator.polled(mailbox, unread, asked_at=stored.seq, sure=sure, time_s=self._wall())
        [outcome] = await self._writer.commit([call])
        if outcome.result == "moved":
            self._metrics.reconciled.labels(result="moved").inc()
            return False
        self._metrics.reconciled.labels(result="corrected" if outcome.result == "published" else "right").inc()
        if stored.unread is not None:
            self._metrics.reconcile_drift.observe(abs(unread - stored.unread))
        if outcome.missed and not sure:
            self._suspected[mailbox] = outcome.seq or stored.seq
            return False
        if outcome.missed:
            self._metrics.mails_missed.inc(outcome.missed)
        return True
