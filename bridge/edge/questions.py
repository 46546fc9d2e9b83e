"""Every question to the journal, in batches: openings, gaps and cold reads are one operation.

A storm of reconnecting browsers asks hundreds of times in one tick of the loop; the journal is asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridge.edge import codes
from bridge.edge.subscriber import Subscriber, entries_of
from bridge.edge.tail import Tail
from bridge.journal.errors import JournalAway, JournalError, NotLetIn
from bridge.journal.reader import Opened, OpenRequest, Reader
from bridge.obs.metrics import Metrics

_BATCH = 256
T = TypeVar("T")


class Questions:
    """Collects what this process wants to know and asks for it. ``pause_s``: between tries while Redis is away."""

    def __init__(self, reader: Reader, metrics: Metrics, *, pause_s: float) -> None:
        self._reader = reader
        self._metrics = metrics
        self._pause_s = pause_s
        self._openings: list[tuple[OpenRequest, asyncio.Future[Opened]]] = []
        self._gaps: dict[Tail, None] = {}
        self._cold: dict[Subscriber, None] = {}
        self.work = asyncio.Event()

    async def open(self, request: OpenRequest) -> Opened:
        """Open one mailbox, together with all others that are asked for now.

        Raises:
            JournalError
        """
        future: asyncio.Future[Opened] = asyncio.get_running_loop().create_future()
        self._openings.append((request, future))
        self.work.set()
        return await future

    def gap(self, tail: Tail, kind: str) -> None:
        """Something may be missing in a tail: have it repaired. ``kind`` labels the metric."""
        if tail not in self._gaps:
            self._metrics.feed_gaps.labels(kind=kind).inc()
            self._gaps[tail] = None
            self.work.set()

    def look_again(self, tail: Tail) -> None:
        """Something may have happened to a tail's account: ask the journal whether it still may be followed."""
        self._gaps[tail] = None
        self.work.set()

    def forget(self, tail: Tail) -> None:
        """Nobody looks at this tail any more."""
        self._gaps.pop(tail, None)

    def read_cold(self, subscriber: Subscriber) -> None:
        """A subscriber is too far behind for the ring."""
        self._cold[subscriber] = None
        self.work.set()

    async def run(self, before: Callable[[], Awaitable[None]]) -> None:
        """Ask until cancelled. ``before`` comes before each round: new channels must be subscribed first.

        Raises:
            JournalRefused: waiting does not mend it.
        """
        while True:
            await self.work.wait()
            self.work.clear()
            await before()
            while self._openings or self._gaps or self._cold:
                try:
                    await self._ask()
                except (JournalAway, NotLetIn) as error:
                    # A password that is being changed passes too; it is read anew for each connection.
                    self._fail_openings(str(error))
                    await asyncio.sleep(self._pause_s)

    async def _ask(self) -> None:
        """One batch, one round trip."""
        openings = [(request, future) for request, future in self._openings[:_BATCH] if not future.done()]
        del self._openings[:_BATCH]
        gaps = [(tail, position) for tail in _take(self._gaps) if (position := tail.position) is not None]
        cold = [(reader, reader.position) for reader in _take(self._cold) if reader.transport is not None]
        requests = [request for request, _ in openings]
        requests += [OpenRequest(tail.mailbox, position) for tail, position in gaps]
        requests += [OpenRequest(reader.tail.mailbox, position) for reader, position in cold]
        if not requests:
            return
        try:
            answers = iter(await self._reader.open(requests))
        except JournalError as error:
            self._gaps.update(dict.fromkeys(tail for tail, _ in gaps))
            self._cold.update(dict.fromkeys(reader for reader, _ in cold))
            for _, future in openings:
                if not future.done():
                    future.set_exception(error)
            raise
        for _, future in openings:
            opened = next(answers)
            if not future.done():
                future.set_result(opened)
        for tail, position in gaps:
            opened = next(answers)
            if (code := _ending(opened, tail)) is not None:
                tail.end(code)
            else:
                tail.repair(opened, entries_of(opened, position) if opened.status == "resumed" else [])
        for reader, position in cold:
            opened = next(answers)
            if (code := _ending(opened, reader.tail)) is not None:
                reader.end(code)
            else:
                reader.read(opened, position)

    def _fail_openings(self, why: str) -> None:
        openings, self._openings = self._openings, []
        for _, future in openings:
            if not future.done():
                future.set_exception(JournalAway(why))


def _ending(opened: Opened, tail: Tail) -> int | None:
    """Why the connections of a tail must end; ``None``: they need not."""
    if opened.status == "barred":
        return codes.NOT_ALLOWED
    # The address has become a slave: whoever comes back is given its account.
    return codes.BUSY if opened.mailbox != tail.mailbox else None


def _take(marks: dict[T, None]) -> list[T]:
    taken = list(marks)[:_BATCH]
    for one in taken:
        del marks[one]
    return taken
