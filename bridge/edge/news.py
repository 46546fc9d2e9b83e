"""The state of the provider connection: each change is broadcast once, to every browser."""

from __future__ import annotations

import asyncio

from bridge.edge.cursor import Cursor
from bridge.edge.frames import upstream_frame
from bridge.edge.hub import Hub
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader, UpstreamStatus
from bridge.obs.metrics import Metrics


class News:
    """Reads the state every ``look_s`` seconds and when woken; a lease that runs out changes it without an event.

    ``number`` counts the changes that were broadcast.
    """

    def __init__(self, reader: Reader, hub: Hub, metrics: Metrics, *, look_s: float) -> None:
        self._metrics = metrics
        self._reader = reader
        self._hub = hub
        self._look_s = look_s
        self._wake = asyncio.Event()
        self.upstream: UpstreamStatus | None = None
        self.number = 0

    def look(self) -> None:
        """Read the state now: an event says that it may have changed."""
        self._wake.set()

    def note(self) -> str | None:
        """A note for a readiness answer; an edge without a leader stays ready, because it serves what there is."""
        if self.upstream is not None and not self.upstream.led:
            return "no worker leads as far as this edge's Redis knows: no mail arrives until one does"
        return None

    def repeat(self, cursor: Cursor, number: int) -> None:
        """Write the state to one cursor if it was broadcast since ``number``: the cursor's snapshot may be older."""
        if self.number != number and self.upstream is not None:
            cursor.say(upstream_frame(self.upstream))

    async def run(self) -> None:
        """Read and broadcast until cancelled."""
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
                    await self._hub.broadcast(upstream_frame(upstream))
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
