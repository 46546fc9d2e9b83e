"""What this process hears of the leader's canary, and whether it is our leader's.

Redis publishes to everybody on the server, whichever database they use, so a bridge of the same namespace in another
one is heard here too. Its mails are told by their epoch, which no two streams share; so is its canary.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from bridge.events import CANARY, head_of, time_of
from bridge.journal.clock import SharedClock
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader
from bridge.obs.metrics import Metrics

_MOST_UNKNOWN: Final = 16


class Canaries:
    """They go the way of a mail, each minute and when an operator asks; so they tell how late a mail would be.

    One whose epoch is new is counted after the journal has said whose it is; :meth:`run` asks.
    """

    def __init__(self, reader: Reader, metrics: Metrics, redis_clock: SharedClock) -> None:
        self._reader = reader
        self._metrics = metrics
        self._redis_clock = redis_clock
        self._ours = b""
        self._unknown: deque[tuple[bytes, float, float]] = deque(maxlen=_MOST_UNKNOWN)
        self._work = asyncio.Event()

    def came(self, event: bytes) -> None:
        """One was published, in our database or in another. What is none of ours is ignored."""
        try:
            epoch, _ = head_of(event)
        except ValueError:
            return
        if (sent := time_of(event)) is None:
            return
        now = self._redis_clock()
        if epoch == self._ours:
            self._heard(sent, now)
        else:
            self._unknown.append((epoch, sent, now))
            self._work.set()

    async def run(self) -> None:
        """Ask the journal whose those are that are not known. Runs until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                [top] = await self._reader.tops([CANARY])
            except JournalError:
                # The next one is asked about again, in a minute.
                self._unknown.clear()
                continue
            # Taken after the answer: a leader's generation that has just begun is then in both.
            if top is not None:
                self._ours = top.epoch.encode()
            while self._unknown:
                epoch, sent, came = self._unknown.popleft()
                if epoch == self._ours:
                    self._heard(sent, came)

    def _heard(self, sent: float, came: float) -> None:
        self._metrics.canary_seconds.observe(max(0.0, came - sent))
        self._metrics.canary_heard.set(came)
