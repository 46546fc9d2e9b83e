"""One worker process: stands by, leads, and stops.

Several may run; the lease says which one leads. A leader that is deposed drops what is not committed and stands by
again; until it notices, the fence in every write keeps it from doing harm.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import Final

from bridge.journal.clock import SharedClock
from bridge.journal.errors import JournalAway, JournalError, LeaseLost
from bridge.journal.writer import Claimed
from bridge.obs.lasting import Lasting
from bridge.obs.readiness import Unready
from bridge.supervision import apart
from bridge.worker.known import nobody_knows
from bridge.worker.leader import Leader
from bridge.worker.means import Means
from bridge.worker.process import has_ended
from bridge.worker.upstream import nobody_listens

log = logging.getLogger(__name__)

_STANDBY_S: Final = 0.25
"""Between two looks at the lease: what is pushed while nobody listens is never announced."""
_ENTER_S: Final = 1.0


class Worker:
    """Runs until it is cancelled; :meth:`stop` lets go of the lease in order."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._leader: Leader | None = None
        self._stopping = False
        self._away = Lasting()
        self._entered_at: float | None = None

    async def run(self) -> None:
        """Stand by until the lease is free, lead until it is lost, and again.

        Raises:
            JournalRefused: Redis refuses what waiting does not mend.
        """
        lease_s = self._means.options.lease_s
        pause_s = min(lease_s / 3, _STANDBY_S)
        stands_by = outage = False
        while not self._stopping:
            try:
                if outage:
                    await self._means.mirror.upstream()
                    # A leader that kept its pushes over the outage comes first: it alone can still commit them.
                    await asyncio.sleep(lease_s)
                    outage = False
                claimed = await self._claim()
            except JournalAway as error:
                if self._away.is_due():
                    log.warning("journal away, cannot claim", extra={"error": str(error)})
                claimed, outage = None, stands_by
            else:
                self._away.over()
                if claimed is None and not stands_by:
                    log.info("standing by, another worker leads")
                stands_by = claimed is None
            await self._said(stands_by)
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

    async def _claim(self) -> Claimed | None:
        """Claim the lease; one that is held by a process of this host which has ended, too."""
        writer = self._means.writer
        claimed = await writer.claim()
        if claimed is None and has_ended(writer.holder.partition("@")[2]):
            log.warning("the leader's process has ended, its lease is taken over")
            claimed = await writer.claim(over_holder=True)
        return claimed

    def verdict(self) -> Unready | None:
        """Why a leader is of no use: its connection to the provider is open and deaf. ``None``: it is of use."""
        deaf = None if self._leader is None else self._leader.upstream.deaf
        return None if deaf is None else Unready("provider", deaf)

    def note(self) -> str | None:
        """Why no mail is announced, in words; ``None``: the leader listens, or this worker stands by."""
        return None if self._leader is None else self._leader.upstream.trouble

    async def stop(self) -> None:
        """Stop listening and commit what was read. A worker that loses its lease now does not stand by again."""
        self._stopping = True
        # Standing down sets it to None meanwhile.
        if (leader := self._leader) is not None:
            await leader.stop()

    async def close(self) -> None:
        """Release the lease, so that another worker leads at once. After :meth:`run` has ended."""
        await self._said(False)
        try:
            await self._means.writer.close(timeout_s=2.0)
        except (JournalAway, TimeoutError) as error:
            log.warning("lease not released, it runs out by itself", extra={"error": str(error)})

    async def _said(self, stands_by: bool) -> None:
        """Enter this worker among those that stand by, or take it out. Nothing depends on it, so Redis may be away."""
        now, entered_at = time.monotonic(), self._entered_at
        if (entered_at is not None and now < entered_at + _ENTER_S) if stands_by else entered_at is None:
            return
        with suppress(JournalError):
            if stands_by:
                await self._means.standbys.enter(self._means.name)
            else:
                await self._means.standbys.leave(self._means.name)
            self._entered_at = now if stands_by else None

    async def _lead(self, claimed: Claimed) -> None:
        log.info("leading", extra={"fence": claimed.fence, "generation": claimed.generation})
        clock = SharedClock(self._means.mirror.now_us)
        await clock.look()
        left = await self._means.mirror.upstream()
        self._leader = Leader(self._means, claimed, clock, left)
        await self._leader.run()

    def _stood_down(self) -> None:
        metrics = self._means.metrics
        metrics.leader.set(0)
        nobody_listens(metrics)
        nobody_knows(metrics)
        # A standby knows nothing of the cursor.
        metrics.cursor_age.set_function(lambda: 0.0)
        if self._leader is not None:
            self._leader.drop()
        self._leader = None


def _first(group: BaseExceptionGroup[Exception]) -> str:
    """The words of the first error in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
