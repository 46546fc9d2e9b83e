"""The leader announces on ``system`` what edges report of themselves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from bridge.events import EDGE_DEAF, SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.journal.errors import JournalAway
from bridge.journal.reports import Deafness, Reports
from bridge.obs.lasting import Lasting

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
MOST: Final = 100
WITHIN_S: Final = 600.0
"""So many are announced in so long. Edges that were all deaf at once say so; one that somebody has taken over does not
drive the events of mailboxes out of the stream."""


class ReportTaker:
    """Turns reports into announcements, looking every ``look_s`` seconds; ``wall`` gives epoch seconds, ``clock``
    monotonic ones."""

    def __init__(
        self,
        reports: Reports,
        announce: Callable[[Announce], None],
        *,
        namespace: str,
        look_s: float = _LOOK_S,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._clock = clock
        self._reports = reports
        self._announce = announce
        self._namespace = namespace
        self._look_s = look_s
        self._room = float(MOST)
        self._room_at = clock()
        self._flooded = Lasting(clock=clock)

    async def run(self) -> None:
        """Take reports until cancelled."""
        while True:
            with suppress(JournalAway):
                self._tell(await self._reports.take())
            await asyncio.sleep(self._look_s)

    def _tell(self, reports: Sequence[Deafness]) -> None:
        now = self._clock()
        self._room = min(float(MOST), self._room + (now - self._room_at) * MOST / WITHIN_S)
        self._room_at = now
        told = reports[: int(self._room)]
        self._room -= len(told)
        for report in told:
            data = {"edge": report.edge, "since": report.since, "until": report.until}
            event = build_event(
                namespace=self._namespace, stream=SYSTEM, type=EDGE_DEAF, time_s=self._wall(), data=data
            )
            self._announce(Announce(event))
        if len(told) < len(reports) and self._flooded.is_due():
            log.warning("edges report more than is announced", extra={"edge": reports[-1].edge})
