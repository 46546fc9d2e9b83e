"""Who reads, as metrics: how near the slowest consumer group is to losing events, and how many people look."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from bridge.journal.errors import JournalError
from bridge.journal.groups import Groups
from bridge.journal.mirror import Mirror
from bridge.obs.metrics import Metrics

_LOOK_S: Final = 10.0


class ReaderWatch:
    """Looks every ``look_s`` seconds. ``most``: how many events the stream keeps."""

    def __init__(self, groups: Groups, mirror: Mirror, metrics: Metrics, *, most: int, look_s: float = _LOOK_S) -> None:
        self._groups = groups
        self._mirror = mirror
        self._metrics = metrics
        self._most = most
        self._look_s = look_s

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            # Faults of Redis are reported by the parts that depend on it.
            with suppress(JournalError):
                self._metrics.people_online.set(await self._mirror.online_count())
            with suppress(JournalError):
                self._metrics.reader_unread.set(await self._groups.most_behind() / self._most)
            await asyncio.sleep(self._look_s)
