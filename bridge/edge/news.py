"""The state of the provider connection, as it is told to the browsers: each change once, to everybody."""

from __future__ import annotations

import asyncio

from bridge.edge.cursor import Cursor
from bridge.edge.frames import upstream_frame
from bridge.edge.hub import Hub
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader, Upstream
from bridge.obs.metrics import Metrics


class News:
    """Looks every ``look_s`` seconds, and when woken: a lease that ran out is a change without an event.

    ``number`` grows with each change that was told.
    """

    def __init__(self, reader: Reader, hub: Hub, metrics: Metrics, *, look_s: float) -> None:
        self._metrics = metrics
        self._reader = reader
        self._hub = hub
        self._look_s = look_s
        self._wake = asyncio.Event()
        self.upstream: Upstream | None = None
        self.number = 0

    def look(self) -> None:
        """Something happened; look now."""
        self._wake.set()

    def note(self) -> str | None:
        """What readiness says besides: an edge without a leader goes on to serve what there is."""
        if self.upstream is not None and not self.upstream.led:
            return "no worker leads as far as this edge's Redis knows: no mail arrives until one does"
        return None

    def repeat(self, cursor: Cursor, number: int) -> None:
        """Tell one what was told to all since ``number``: his own snapshot may be older."""
        if self.number != number and self.upstream is not None:
            cursor.say(upstream_frame(self.upstream))

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        while True:
            self._wake.clear()
            try:
                upstream = await self._reader.upstream()
            except JournalError:
                self._metrics.redis_reachable.set(0)
            else:
                self._metrics.redis_reachable.set(1)
                self._metrics.edge_leader_seen.set(upstream.led)
                if upstream != self.upstream:
                    self.upstream = upstream
                    self.number += 1
                    self._hub.broadcast(upstream_frame(upstream))
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
