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
from typing import Final

from bridge.journal.errors import JournalAway
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.provider.client import ProviderClient
from bridge.provider.errors import NotFound, ProviderError
from bridge.worker.translate import Translator

log = logging.getLogger(__name__)

_TRIES: Final = 5
_ASKERS: Final = 4
_LOOK_S: Final = 0.5
_SETTLE_S: Final = 1.0
_UNKNOWN_S: Final = 600.0
_FRESH_MS: Final = 600_000
_AWAY_S: Final = 2.0


class Reconciler:
    """Corrects counts for a leader. ``rate`` bounds calls of ``mail/newcount`` a second."""

    def __init__(
        self,
        client: ProviderClient,
        writer: Writer,
        mirror: Mirror,
        translator: Translator,
        metrics: Metrics,
        *,
        rate: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._mirror = mirror
        self._translator = translator
        self._metrics = metrics
        self._interval_s = 1 / rate
        self._batch = max(1, int(rate))
        self._wall = wall
        self._urgent: dict[str, None] = {}
        self._later: dict[str, None] = {}
        self._unknown: dict[str, float] = {}
        self._something = asyncio.Event()
        self._gap = asyncio.Event()
        self._next_call_s = 0.0

    def after_gap(self) -> None:
        """Pushes were missed; ask for everybody who may notice."""
        self._gap.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._collect_wanted(), name="wanted counts")
            tasks.create_task(self._collect_after_gaps(), name="counts after gaps")
            for number in range(_ASKERS):
                tasks.create_task(self._ask_on(), name=f"ask for counts {number}")

    async def _collect_wanted(self) -> None:
        while True:
            with suppress(JournalAway):
                # No more than can be asked soon: what is taken would be lost with this process.
                if len(self._urgent) < self._batch:
                    self._queue(self._urgent, await self._mirror.take_wanted(self._batch))
            await asyncio.sleep(_LOOK_S)

    async def _collect_after_gaps(self) -> None:
        while True:
            await self._gap.wait()
            self._gap.clear()
            try:
                mailboxes = [*await self._mirror.online(), *await self._mirror.active()]
                await self._mirror.forget_offline()
            except JournalAway:
                self._gap.set()
                await asyncio.sleep(_LOOK_S)
                continue
            # A gap makes every stored count doubtful, the fresh ones too.
            self._queue(self._later, dict.fromkeys(mailboxes))

    def _queue(self, queue: dict[str, None], mailboxes: Iterable[str]) -> None:
        for mailbox in mailboxes:
            if self._unknown.get(mailbox, 0) < self._wall():
                queue[mailbox] = None
        if queue:
            self._something.set()

    def _take(self) -> tuple[str, bool] | None:
        for queue, urgent in ((self._urgent, True), (self._later, False)):
            if queue:
                mailbox = next(iter(queue))
                del queue[mailbox]
                return mailbox, urgent
        return None

    async def _ask_on(self) -> None:
        while True:
            taken = self._take()
            if taken is None:
                self._something.clear()
                await self._something.wait()
                continue
            mailbox, urgent = taken
            try:
                await self._correct(mailbox, only_if_old=urgent and mailbox not in self._later)
            except (ProviderError, JournalAway) as error:
                self._metrics.reconciled.labels(result="failed").inc()
                log.warning("count not read", extra={"error": str(error)})
                self._queue(self._urgent if urgent else self._later, [mailbox])
                await asyncio.sleep(_AWAY_S)

    async def _correct(self, mailbox: str, *, only_if_old: bool) -> None:
        """Ask for one count until the answer is not overtaken by a push."""
        for _ in range(_TRIES):
            [(seq, stored, as_of)] = await self._mirror.seqs([mailbox])
            now_ms = self._wall() * 1000
            if only_if_old and stored is not None and as_of is not None and as_of > now_ms - _FRESH_MS:
                return
            if as_of is not None and 0 <= now_ms - as_of < _SETTLE_S * 1000:
                # A push outruns the provider's own count; an answer now could be the older one.
                await asyncio.sleep(_SETTLE_S)
                continue
            await self._budget()
            try:
                unread = await self._client.newcount(mailbox)
            except NotFound:
                self._unknown[mailbox] = self._wall() + _UNKNOWN_S
                self._metrics.reconciled.labels(result="failed").inc()
                return
            call = self._translator.polled(mailbox, unread, asked_at=seq, time_s=self._wall())
            [outcome] = await self._writer.commit([call])
            if outcome.result == "moved":
                self._metrics.reconciled.labels(result="moved").inc()
                continue
            self._metrics.reconciled.labels(result="corrected" if outcome.result == "published" else "right").inc()
            if stored is not None:
                self._metrics.reconcile_drift.observe(abs(unread - stored))
            return

    async def _budget(self) -> None:
        """Wait for this call's turn."""
        now = asyncio.get_running_loop().time()
        due = max(self._next_call_s, now)
        self._next_call_s = due + self._interval_s
        if due > now:
            await asyncio.sleep(due - now)
