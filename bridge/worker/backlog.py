"""What was read from the provider and is not committed yet: in order, and bounded.

While Redis is away the listener keeps reading until the backlog is full; then it waits, and the socket is left
unread: the provider's own buffers are the last reserve.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from bridge.journal.calls import Call, RecordCount, RecordMail
from bridge.journal.errors import LeaseLost
from bridge.journal.writer import Outcome, Result, Writer
from bridge.obs.metrics import Metrics

_BATCH = 256


class Backlog:
    """A queue of calls between listener and journal. ``most``: beyond how many :meth:`put` waits."""

    def __init__(self, writer: Writer, metrics: Metrics, *, most: int) -> None:
        self._writer = writer
        self._metrics = metrics
        self._most = most
        self._calls: deque[Call] = deque()
        self._committing: Sequence[Call] = ()
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        # How many calls were ever added and ever left, and who waits until how many have left.
        self._came = self._gone = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        # Of what was read together: the number of its last call, and when it was read.
        self._read: deque[tuple[int, float]] = deque()
        metrics.backlog_age.set_function(lambda: self.age_s)

    def __len__(self) -> int:
        return len(self._calls) + len(self._committing)

    async def put(self, calls: Sequence[Call]) -> None:
        """Append calls, then wait while there are too many.

        Appended first: what was read is in nobody's hands while others ask whether all of it is committed.
        """
        self.add(calls)
        while len(self) > self._most:
            self._room.clear()
            await self._room.wait()
            # Whoever commits comes first: Redis works while the next pushes are read, instead of waiting for them.
            await asyncio.sleep(0)

    def add(self, calls: Sequence[Call]) -> None:
        """Append calls without waiting, full or not: announcements are few."""
        self._calls.extend(calls)
        self._came += len(calls)
        if calls:
            self._read.append((self._came, time.monotonic()))
        self._empty.clear()
        self._something.set()
        self._metrics.backlog.set(len(self))

    async def run(self) -> None:
        """Commit what has been read so far, one round trip after the other.

        Raises:
            LeaseLost, JournalRefused
        """
        while True:
            await self._something.wait()
            batch = [self._calls.popleft() for _ in range(min(len(self._calls), _BATCH))]
            self._committing = batch
            try:
                await self._writer.commit(batch)
            except LeaseLost:
                self._metrics.commits["refused"].inc(len(batch))
                raise
            self._committing = ()
            self._went(len(batch))
            if not self._calls:
                self._something.clear()
                self._empty.set()
            if len(self) <= self._most:
                self._room.set()
            self._metrics.backlog.set(len(self))

    async def drained(self) -> None:
        """Return when everything is committed."""
        await self._empty.wait()

    async def caught_up(self) -> None:
        """Return when everything that is in it now is committed, whatever is added meanwhile."""
        if self._gone < self._came:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._came, waiting))
            await waiting

    def _went(self, calls: int) -> None:
        self._gone += calls
        while self._read and self._read[0][0] <= self._gone:
            self._read.popleft()
        while self._waiting and self._waiting[0][0] <= self._gone:
            _, waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)

    @property
    def age_s(self) -> float:
        """Seconds since the oldest of what waits was read; 0: nothing waits."""
        return time.monotonic() - self._read[0][1] if self._read else 0.0

    def drop(self) -> int:
        """Give up what waits, because another worker leads; return how many pushes that were."""
        # Announcements are about this worker itself: they are no loss.
        dropped = sum(isinstance(call, RecordMail | RecordCount) for call in (*self._committing, *self._calls))
        gone = len(self)
        self._calls.clear()
        self._committing = ()
        self._went(gone)
        self._something.clear()
        self._room.set()
        self._empty.set()
        self._metrics.backlog.set(0)
        if dropped:
            self._metrics.backlog_dropped.inc(dropped)
        return dropped


def observe(metrics: Metrics, seconds: float, outcomes: Sequence[Outcome]) -> None:
    """Count one round trip of commits."""
    metrics.commit_seconds.observe(seconds)
    counted: dict[Result, int] = {}
    for outcome in outcomes:
        counted[outcome.result] = counted.get(outcome.result, 0) + 1
    for result, count in counted.items():
        metrics.commits["refused" if result == "cursor" else result].inc(count)
