"""A leader's lease: renewed in time, and looked at before the provider's one connection is taken."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from bridge.journal.clock import SharedClock
from bridge.journal.errors import JournalAway
from bridge.journal.writer import Writer
from bridge.obs.lasting import Lasting

log = logging.getLogger(__name__)

_CONFIRM_S: Final = 2.0


class Lease:
    """Keeps what the writer has claimed. While Redis is away the leader goes on, as far as it can."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._away = Lasting()

    async def confirm(self) -> None:
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

    async def renew(self, clock: SharedClock, *, heard_ms: int | None) -> None:
        """Renew it, and look at Redis's clock; ``heard_ms``: until when all that was pushed is committed.

        Raises:
            LeaseLost
        """
        try:
            await self._writer.keep(heard_ms=heard_ms)
            await clock.look()
        except JournalAway as error:
            # Pushes are kept meanwhile; whether the lease still is ours shows when Redis answers.
            if self._away.is_due():
                log.warning("journal away, lease not renewed", extra={"error": str(error)})
        else:
            self._away.over()
