"""Ask the provider for counts that pushes cannot have kept right.

After a gap: those of the mailboxes that are online or were active lately. At any time: that of a mailbox that a browser
opened and whose count is unknown or old. Calls are paced, and an answer applies only if nothing was pushed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bridge.journal.errors import JournalAway
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.lasting import Lasting
from bridge.obs.metrics import Metrics
from bridge.provider.counts import Counts
from bridge.provider.faults import CONCERNS_ALL, NotFound, ProviderError, ProviderRefused
from bridge.provider.pace import Pace
from bridge.worker.agenda import Agenda
from bridge.worker.portions import in_order
from bridge.worker.translate import Translator

log = logging.getLogger(__name__)

_ASKERS: Final = 4
_SWEPT: Final = 200
"""Accounts whose stored counts are looked at together."""


@dataclass(frozen=True, slots=True)
class ReconcilePace:
    """Seconds. ``look_s``: between two looks for mailboxes that browsers opened · ``settle_s``: after a push, until the
    provider's own count includes it · ``away_s``: before the next question after a fault · ``absent_s``: before a
    mailbox is asked for again that the provider does not know · ``fresh_s``: how old a stored count may be."""

    look_s: float = 0.5
    settle_s: float = 1.0
    away_s: float = 2.0
    absent_s: float = 600.0
    fresh_s: float = 600.0


USUAL_PACE: Final = ReconcilePace()


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """An answer that counts more mails than were pushed: its count, the mailbox's seq then, the listen session, and
    when it came (monotonic seconds)."""

    unread: int
    seq: int
    session: int
    at: float

    def stands(self, seq: int, heard: tuple[int, float] | None) -> bool:
        """Whether nothing was pushed since, in a session that still gives signs of life."""
        return heard is not None and (self.seq, self.session) == (seq, heard[0])


class Reconciler:
    """Works through an agenda for a leader: corrects counts, and announces how many mails were missed.

    ``rate``: how many counts may be asked for in a second. ``sweep``: after a gap every stored count is asked for,
    slowly and after all others, not only those that somebody may look at. ``now`` gives monotonic seconds.

    An answer alone proves no loss: a push may be under way. ``hearing`` and ``caught_up`` are those of
    :class:`bridge.worker.attention.Attention`.
    """

    def __init__(
        self,
        agenda: Agenda,
        counts: Counts,
        writer: Writer,
        mirror: Mirror,
        translator: Translator,
        metrics: Metrics,
        *,
        hearing: Callable[[], tuple[int, float] | None],
        caught_up: Callable[[], Awaitable[bool]],
        rate: float,
        sweep: bool = False,
        pace: ReconcilePace = USUAL_PACE,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.agenda = agenda
        self._counts = counts
        self._writer = writer
        self._mirror = mirror
        self._translator = translator
        self._metrics = metrics
        self._hearing = hearing
        self._caught_up = caught_up
        self._pace_of_calls = Pace(rate, now=now)
        self._batch = max(1, int(rate))
        self._sweep = sweep
        self._pace = pace
        self._not_read = Lasting()
        self._wall = wall
        self._now = now
        self._suspected: dict[str, _Suspicion] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect_opened(), name="wanted counts")
                tasks.create_task(self._collect_after_gaps(), name="counts after gaps")
                for number in range(_ASKERS):
                    tasks.create_task(self._ask_on(), name=f"ask for counts {number}")
        finally:
            self.agenda.close()

    async def _collect_opened(self) -> None:
        while True:
            with suppress(JournalAway):
                # No more than can be asked soon: what is taken is lost if this process ends.
                if self.agenda.opened_waiting < self._batch:
                    self.agenda.opened(await self._mirror.take_wanted(self._batch))
            await asyncio.sleep(self._pace.look_s)

    async def _collect_after_gaps(self) -> None:
        while True:
            await self.agenda.gap()
            try:
                mailboxes = [*await self._mirror.online(), *await self._mirror.active()]
                await self._mirror.forget_offline()
            except JournalAway:
                self.agenda.after_gap()
                await asyncio.sleep(self._pace.look_s)
                continue
            # A gap makes every stored count doubtful, the fresh ones too.
            self.agenda.changed(dict.fromkeys(mailboxes))
            if self._sweep:
                await self._sweep_all()

    async def _sweep_all(self) -> None:
        """Put every account whose stored count is doubtful on the agenda, a piece at a time, until the next gap."""
        with suppress(JournalAway):
            accounts = await in_order(await self._mirror.aliases())
            for start in range(0, len(accounts), _SWEPT):
                if not await self.agenda.room():
                    return
                piece = accounts[start : start + _SWEPT]
                counted, _ = await self._mirror.counted(piece)
                self.agenda.sweep(mailbox for mailbox, stored in zip(piece, counted, strict=True) if stored.doubtful)

    async def _ask_on(self) -> None:
        while True:
            item = await self.agenda.take()
            try:
                if not await self._corrected(item.mailbox, only_if_old=not item.doubtful):
                    self.agenda.rest(item, self._pace.settle_s)
            except (ProviderError, JournalAway) as error:
                self._metrics.reconciled["failed"].inc()
                if self._not_read.is_due():
                    log.warning("count not read", extra={"error": str(error)})
                if isinstance(error, ProviderRefused) and not isinstance(error, CONCERNS_ALL):
                    self.agenda.leave_alone(item.mailbox, self._pace.absent_s)
                    continue
                self.agenda.again(item)
                await asyncio.sleep(self._pace.away_s)
            finally:
                self.agenda.done(item)

    async def _corrected(self, mailbox: str, *, only_if_old: bool) -> bool:
        """Ask for one count. ``False``: it has to be asked for again, because a push came in between or mails seem to
        be missing.
        """
        if (suspicion := self._suspected.get(mailbox)) is not None and not self._can_settle(mailbox, suspicion):
            return False
        [stored], now_ms = await self._mirror.counted([mailbox])
        if stored.as_of is not None and suspicion is None:
            fresh = stored.as_of > now_ms - self._pace.fresh_s * 1000
            if only_if_old and fresh and stored.unread is not None and not stored.doubtful:
                return True
            if 0 <= now_ms - stored.as_of < self._pace.settle_s * 1000:
                # A push outruns the provider's own count, which may still be the one of before.
                return False
        await asyncio.sleep(self._pace_of_calls.turn_s())
        # Read again after waiting for our turn: what was pushed meanwhile is no reason to ask twice.
        [stored], _ = await self._mirror.counted([mailbox])
        try:
            unread = await self._counts.unread(mailbox)
        except NotFound:
            self.agenda.leave_alone(mailbox, self._pace.absent_s)
            self._metrics.reconciled["failed"].inc()
            return True
        answered_at = self._now()
        # What was pushed before the answer is committed before it; only then does the same seq mean that nothing was.
        is_caught_up = await self._caught_up()
        suspicion = self._suspected.pop(mailbox, None)
        heard = self._hearing()
        proven = None
        if is_caught_up and suspicion is not None and suspicion.stands(stored.seq, heard):
            # Of mails that only the second answer counts, the push may still be under way.
            proven = min(suspicion.unread, unread)
        call = self._translator.polled(mailbox, unread, asked_at=stored.seq, proven=proven, time_s=self._wall())
        [outcome] = await self._writer.commit([call])
        if outcome.result == "moved":
            self._metrics.reconciled["moved"].inc()
            return False
        self._metrics.reconciled["corrected" if outcome.result == "published" else "right"].inc()
        if stored.unread is not None:
            self._metrics.reconcile_drift.observe(abs(unread - stored.unread))
        if outcome.missed and proven is not None:
            self._metrics.mails_missed.inc(outcome.missed)
        if outcome.pending:
            # Without a session the suspicion begins anew with the first answer of the next one.
            session = -1 if heard is None else heard[0]
            self._suspected[mailbox] = _Suspicion(unread, outcome.seq or stored.seq, session, answered_at)
        return not outcome.pending

    def _can_settle(self, mailbox: str, suspicion: _Suspicion) -> bool:
        """Whether a second answer would prove anything: the session has given a sign of life since the first.

        While a connection is dead the provider holds its pushes back, but counts their mails.
        """
        heard = self._hearing()
        if heard is None:
            return False
        if heard[0] != suspicion.session:
            del self._suspected[mailbox]
            return True
        return heard[1] >= suspicion.at + self._pace.settle_s
