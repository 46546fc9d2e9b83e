"""The leader announces on ``system`` what edges report of themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bridge.events import EDGE_DEAF, SYSTEM, build_event
from bridge.journal.calls import Announce
from bridge.journal.errors import JournalAway
from bridge.journal.reports import Reports

_LOOK_S: Final = 1.0


class ReportTaker:
    """Turns reports into announcements, looking every ``look_s`` seconds; ``wall`` gives epoch seconds."""

    def __init__(
        self,
        reports: Reports,
        announce: Callable[[Announce], None],
        *,
        namespace: str,
        look_s: float = _LOOK_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._wall = wall
        self._reports = reports
        self._announce = announce
        self._namespace = namespace
        self._look_s = look_s

    async def run(self) -> None:
        """Take reports until cancelled."""
        while True:
            with suppress(JournalAway):
                while (report := await self._reports.take()) is not None:
                    data = {"edge": report.edge, "since": report.since, "until": report.until}
                    event = build_event(
                        namespace=self._namespace, stream=SYSTEM, type=EDGE_DEAF, time_s=self._wall(), data=data
                    )
                    self._announce(Announce(event))
            await asyncio.sleep(self._look_s)
