"""Ask the provider for counts that pushes cannot have kept right.

After a gap: the mailboxes that are online or were active lately. At any time: a mailbox that a browser opened and
whose count is unknown or old. Each is asked once however often it is wanted, within a call budget, and the answer
applies only if nothing was pushed meanwhile.
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
from bridge.obs.metrics import Metrics
from bridge.provider.counts import Counts
from bridge.provider.faults import CONCERNS_ALL, NotFound, ProviderError, ProviderRefused
from bridge.provider.pace import Pace
from bridge.worker.agenda import Agenda
from bridge.worker.translate import Translator

log = logging.getLogger(__name__)

_ASKERS: Final = 4
_SWEPT: Final = 200
"""Accounts whose stored counts are looked at together."""


@dataclass(frozen=True, slots=True)
class ReconcilePace:
    """Seconds. ``look_s``: between looks for wanted mailboxes · ``settle_s``: after a push, until the provider's own
    count has caught up with it and no other push is under way · ``away_s``: before asking again what could not be
    answered · ``absent_s``: before asking again for a mailbox that the provider does not tell of · ``fresh_s``: how
    old a stored count may be."""

    look_s: float = 0.5
    settle_s: float = 1.0
    away_s: float = 2.0
    absent_s: float = 600.0
    fresh_s: float = 600.0


USUAL_PACE: Final = ReconcilePace()


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """An answer that counts mails which nobody was told of: its count, the mailbox's seq then, the session, monotonic
    seconds."""

    unread: int
    seq: int
    session: int
    at: float

    def stands(self, seq: int, heard: tuple[int, float] | None) -> bool:
        """Whether nothing was pushed since, in a session that is heard still."""
        return heard is not None and (self.seq, self.session) == (seq, heard[0])


class Reconciler:
    """Works through an agenda for a leader: corrects counts, and says what was missed.

    ``rate``: how many counts may be asked for a second. ``sweep``: after a gap every stored count is asked for, slowly
    and last of all, not only those that somebody may look at. ``now`` gives monotonic seconds.

    An answer proves something only beside the pushes. ``hearing`` says which listen session stands and when its last
    byte came (monotonic seconds), ``None`` where nobody hears; ``caught_up`` waits until all that has come by now is
    committed, and says ``False`` where that takes too long.
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
                # No more than can be asked soon: what is taken would be lost with this process.
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
        """Queue every account whose stored count is doubtful, a piece at a time; a new gap begins it again."""
        with suppress(JournalAway):
            accounts = sorted(await self._mirror.aliases())
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
                log.warning("count not read", extra={"error": str(error)})
                if isinstance(error, ProviderRefused) and not isinstance(error, CONCERNS_ALL):
                    self.agenda.leave_alone(item.mailbox, self._pace.absent_s)
                    continue
                self.agenda.again(item)
                await asyncio.sleep(self._pace.away_s)
            finally:
                self.agenda.done(item)

    async def _corrected(self, mailbox: str, *, only_if_old: bool) -> bool:
        """Ask for one count; ``False`` where it must be asked for again.

        Because a push came in between, or because mails seem to be missing.
        """
        if (suspicion := self._suspected.get(mailbox)) is not None and not self._can_settle(mailbox, suspicion):
            return False
        [stored], now_ms = await self._mirror.counted([mailbox])
        if stored.as_of is not None and suspicion is None:
            fresh = stored.as_of > now_ms - self._pace.fresh_s * 1000
            if only_if_old and fresh and stored.unread is not None and not stored.doubtful:
                return True
            if 0 <= now_ms - stored.as_of < self._pace.settle_s * 1000:
                # A push outruns the provider's own count; an answer now could be the older one.
                return False
        await asyncio.sleep(self._pace_of_calls.turn_s())
        # Read after the wait for our turn: what was pushed in it is no reason to ask twice.
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
            # What came to be counted since may be under way still.
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
            # Where nobody hears, the first answer of the next session begins it again.
            session = -1 if heard is None else heard[0]
            self._suspected[mailbox] = _Suspicion(unread, outcome.seq or stored.seq, session, answered_at)
        return not outcome.pending

    def _can_settle(self, mailbox: str, suspicion: _Suspicion) -> bool:
        """Whether asking once more can tell anything: the session has shown since that it is alive.

        The provider holds pushes back for a connection that is dead or not there, and its counts do not wait for them.
        """
        heard = self._hearing()
        if heard is None:
            return False
        if heard[0] != suspicion.session:
            del self._suspected[mailbox]
            return True
        return heard[1] >= suspicion.at + self._pace.settle_s
