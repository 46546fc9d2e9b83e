"""A message that the edge sends to itself through Redis, to find out whether its pub/sub connection is deaf."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from bridge.edge.channels import Channels
from bridge.edge.pace import Pace
from bridge.journal.clock import SharedClock
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader
from bridge.journal.reports import Deafness, Reports
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)


class Probe:
    """The probe of this process. ``clock``: monotonic seconds. ``redis_clock``: for times that others read.

    ``name`` names this process to people.
    """

    def __init__(
        self,
        channels: Channels,
        reader: Reader,
        reports: Reports,
        metrics: Metrics,
        *,
        name: str,
        pace: Pace,
        clock: Callable[[], float],
        redis_clock: SharedClock,
    ) -> None:
        self._channels = channels
        self._reader = reader
        self._reports = reports
        self._metrics = metrics
        self._name = name
        self._pace = pace
        self._clock = clock
        self._redis_clock = redis_clock
        self._heard_at = -1e9
        # When the newest was sent that came back, and when the oldest since then that Redis took.
        self._answered_at = -1e9
        self._unanswered_at: float | None = None

    @property
    def is_overdue(self) -> bool:
        """Whether no probe has come back lately."""
        return self._clock() - self._heard_at > self._pace.deaf_s

    def came(self, payload: bytes) -> None:
        """A probe has come back."""
        with suppress(ValueError):
            sent_at = float(payload)
            self._heard_at = self._clock()
            self._answered_at, self._unanswered_at = sent_at, None
            self._metrics.feed_lag_seconds.observe(max(0.0, self._heard_at - sent_at))

    async def until_lost(self, lost: asyncio.Future[str]) -> str | None:
        """Send probes until the connection is lost; return why it was, or ``None`` if it is open and deaf."""
        self._heard_at = published_at = self._clock()
        self._unanswered_at = None
        while True:
            done, _ = await asyncio.wait([lost], timeout=self._pace.probe_s)
            if done:
                return lost.result()
            now = round(self._clock(), 6)
            # Deaf: Redis took probes for so long, and none came back. One that could not be sent proves nothing, nor
            # does a time in which none was sent, because this process stood still.
            if self._unanswered_at is not None and published_at - self._unanswered_at > self._pace.deaf_s:
                return None
            try:
                channels = self._channels
                await self._reader.publish(channels.probe.decode(), f"{now:.6f}", sharded=channels.sharded)
                published_at = now
                # It may have come back already.
                if self._unanswered_at is None and self._answered_at < now:
                    self._unanswered_at = now
                # The next dial may reach another server, with another clock.
                await self._redis_clock.look()
            except JournalError:
                continue

    async def tell_deaf(self) -> None:
        """Count the deafness, and report it to the leader, who publishes since when it lasted."""
        self._metrics.feed_deaf.inc()
        silent_s = self._clock() - self._heard_at
        log.error("pub/sub connection deaf", extra={"silent_s": round(silent_s, 1)})
        until = self._redis_clock()
        with suppress(JournalError):
            await self._reports.tell(Deafness(self._name, int((until - silent_s) * 1000), int(until * 1000)))
