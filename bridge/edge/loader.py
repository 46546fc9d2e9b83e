"""Read mailboxes from the journal, in batches: openings, gaps and cold reads are one operation.

A storm of reconnecting browsers asks hundreds of times in one tick of the loop. The journal is asked once for all of
them, and equal questions are merged. Each answer is bounded in bytes, and so is a batch.

An address that comes to mean another person begins a new epoch, and the change of person is stored before it. So before
anything of another epoch is shown on an open connection, its credential is checked again.

A server that takes no writes now still answers for the mailboxes it has. A mailbox that would have to be created there
cannot be opened: a new connection is told to come later, and open ones wait.

A position ahead of the journal was given by a server that knew more. A leader that finds this out begins a new
generation for everybody, at about the time when this edge reaches the same server. So after dialling such a position
waits, because its mailbox would begin a new epoch twice: that of a browser that comes for a few seconds, because it
waits for an answer, and that of an open connection for a minute. Later its mailbox begins a new epoch at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Final, TypeVar

from bridge.access import codes
from bridge.edge.cursor import Cursor, Ring, entries_of
from bridge.edge.pace import Pace
from bridge.edge.tail import Tail
from bridge.events import Position
from bridge.journal.errors import JournalAway, JournalError, JournalSpoilt, NotLetIn, TakesNoWrites
from bridge.journal.reader import Opened, OpenRequest, Reader
from bridge.journal.script import Failed
from bridge.journal.standing import Asker, Standing, Standings
from bridge.obs.labels import Gap
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)

_BATCH: Final = 64
"""Different questions of each kind in a round trip: with 64 KiB an answer 12 MiB at most."""
_LATER: Final = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class _Opening:
    """A connection that waits for its mailbox, and for its asker's standing."""

    request: OpenRequest
    asker: Asker
    answer: asyncio.Future[tuple[Opened, Standing]]


class Loader:
    """Collects the questions of this process and asks them; while Redis is away, again every ``pace.reconnect_s``.

    ``look`` checks open connections and ends those that may not stay. ``waited`` counts the answers that were
    postponed, because a leader may soon begin a generation or the server take writes again. ``idle``: tails that
    somebody left, and that nobody may follow any more.
    """

    def __init__(
        self,
        reader: Reader,
        standings: Standings,
        metrics: Metrics,
        *,
        look: Callable[[Sequence[Cursor]], Awaitable[None]],
        pace: Pace,
    ) -> None:
        self._look = look
        self._pace = pace
        self._dialled_at = -inf
        self.waited = 0
        self._reader = reader
        self._standings = standings
        self._metrics = metrics
        self._pause_s = pace.reconnect_s
        self._openings: list[_Opening] = []
        self._gaps: dict[Tail, None] = {}
        self._cold: dict[Cursor, None] = {}
        self.idle: set[Tail] = set()
        self.work = asyncio.Event()

    async def open(self, request: OpenRequest, asker: Asker) -> tuple[Opened, Standing]:
        """Open one mailbox for a new connection, in one batch with all others that are asked for now.

        Raises:
            JournalError
        """
        answer: asyncio.Future[tuple[Opened, Standing]] = asyncio.get_running_loop().create_future()
        self._openings.append(_Opening(request, asker, answer))
        self.work.set()
        return await answer

    def gap(self, tail: Tail, kind: Gap) -> None:
        """Repair a tail in which something may be missing. ``kind`` labels the metric."""
        if tail.position is None:
            # The opening that is under way will notice, and have it repaired.
            tail.doubted = True
        elif tail not in self._gaps:
            self._metrics.feed_gaps[kind].inc()
            self.look_again(tail)

    def dialled(self) -> None:
        """Redis has been dialled again; it may be another server."""
        self._dialled_at = asyncio.get_running_loop().time()

    def look_again(self, tail: Tail) -> None:
        """Ask the journal whether a tail may still be followed: something may have happened to its account."""
        self._gaps[tail] = None
        self.work.set()

    def deserted(self, tail: Tail) -> None:
        """Note that nobody follows this mailbox, for now."""
        self.idle.add(tail)

    def forget(self, tail: Tail) -> None:
        """Drop what is planned for a tail that has no connections any more."""
        self._gaps.pop(tail, None)
        self.idle.discard(tail)

    def read_cold(self, cursor: Cursor) -> None:
        """Read the journal for a cursor that is too far behind for the ring."""
        self._cold[cursor] = None
        self.work.set()

    async def run(self, before: Callable[[], Awaitable[None]]) -> None:
        """Ask until cancelled. ``before`` is called before each round: new channels must be subscribed first.

        Raises:
            JournalRefused: waiting does not help.
        """
        while True:
            await self.work.wait()
            self.work.clear()
            while True:
                # In each round: neither questions that fail nor many that do not keep somebody new from his channel.
                await before()
                if not (self._openings or self._gaps or self._cold):
                    break
                try:
                    await self._ask()
                except (JournalAway, NotLetIn) as error:
                    # A refused password is temporary too, while it is being changed: it is read for each connection.
                    self._fail_openings(str(error))
                    await asyncio.sleep(self._pause_s)

    async def _ask(self) -> None:
        """Ask one batch: one round trip for the mailboxes, one for the standing of those who open them."""
        # Each different request, and the index of its answer.
        asked: dict[OpenRequest, int] = {}

        def place(request: OpenRequest, ahead_s: float = self._pace.ahead_open_s) -> int:
            # A position that is ahead may wait, as long as a leader may not have reached this server yet.
            if patient := self._dialled_ago_s < ahead_s:
                request = replace(request, patient=patient)
            return asked.setdefault(request, len(asked))

        openings = [(place(opening.request, self._pace.ahead_s), opening) for opening in self._next_openings()]
        gaps = [
            (place(OpenRequest(tail.mailbox, position)), tail, position)
            for tail in _take(self._gaps)
            if (position := tail.position) is not None
        ]
        cold = [
            (place(OpenRequest(reader.ring.mailbox, reader.position)), reader, reader.position)
            for reader in _take(self._cold)
            if reader.connection.transport is not None
        ]
        if not asked:
            return
        waits: list[Callable[[], None]] = []
        try:
            answers = await self._reader.open_each(list(asked))
            # After the openings: a kick in between is seen here, and a later one wakes the rounds.
            askers = list(dict.fromkeys(opening.asker for _, opening in openings))
            standings = dict(zip(askers, await self._standings.look(askers), strict=True))
            restarting: dict[Cursor, None] = {}
            for number, tail, _ in gaps:
                if _begins_anew(answers[number], tail):
                    restarting.update(dict.fromkeys(tail.cursors))
            restarting |= {reader: None for number, reader, _ in cold if _begins_anew(answers[number], reader.ring)}
            if restarting:
                await self._look(list(restarting))
        except JournalError as error:
            self._gaps.update(dict.fromkeys(tail for _, tail, _ in gaps))
            self._cold.update(dict.fromkeys(reader for _, reader, _ in cold))
            for _, opening in openings:
                _fail(opening, error)
            if isinstance(error, JournalSpoilt):
                # It concerns everybody, not one mailbox: openings fail, and open mailboxes are asked for again later.
                raise JournalAway(str(error)) from error
            raise
        for number, opening in openings:
            answer = answers[number]
            if not isinstance(answer, Opened):
                _fail(opening, answer)
            elif answer.status == "ahead":
                waits.append(partial(self._openings.append, opening))
            elif not opening.answer.done():
                opening.answer.set_result((answer, standings[opening.asker]))
        for number, tail, position in gaps:
            answer = answers[number]
            if _is_put_off(answer):
                waits.append(partial(self.look_again, tail))
            else:
                self._mend(tail, position, answer, restarting)
        for number, reader, position in cold:
            answer = answers[number]
            if _is_put_off(answer):
                waits.append(partial(self.read_cold, reader))
            elif (code := _ending(answer, reader.ring)) is not None:
                reader.end(code)
            elif isinstance(answer, Opened):
                reader.read(answer, position)
        if waits:
            self._ask_later(waits)

    @property
    def _dialled_ago_s(self) -> float:
        return asyncio.get_running_loop().time() - self._dialled_at

    def _ask_later(self, questions: Sequence[Callable[[], None]]) -> None:
        self.waited += len(questions)

        def again() -> None:
            for question in questions:
                question()
            self.work.set()

        # Where nobody at a door waits any more, there is time.
        late = self._dialled_ago_s >= self._pace.ahead_s
        asyncio.get_running_loop().call_later(self._pause_s * (_LATER if late else 1), again)

    def _next_openings(self) -> list[_Opening]:
        """Take the openings of one batch: a bounded number of different requests, and all that are equal to them."""
        waiting, self._openings = self._openings, []
        taken: list[_Opening] = []
        different: set[OpenRequest] = set()
        for number, opening in enumerate(waiting):
            if opening.answer.done():
                continue
            different.add(opening.request)
            if len(different) > _BATCH:
                self._openings = waiting[number:] + self._openings
                break
            taken.append(opening)
        return taken

    def _mend(self, tail: Tail, position: Position, answer: Opened | Failed, looked_at: Collection[Cursor]) -> None:
        if (code := _ending(answer, tail)) is not None:
            tail.end(code)
        elif isinstance(answer, Opened) and _is_overtaken(answer, tail, position):
            self.look_again(tail)
        elif isinstance(answer, Opened):
            tail.repair(answer, entries_of(answer, position) if answer.status == "resumed" else [], looked_at)
            if answer.status == "resumed" and tail.behind(answer.top):
                # The answer was cut at its limit in bytes; ask for the rest.
                self.look_again(tail)

    def _fail_openings(self, why: str) -> None:
        openings, self._openings = self._openings, []
        for opening in openings:
            _fail(opening, JournalAway(why))


def _fail(opening: _Opening, error: JournalError) -> None:
    if not opening.answer.done():
        opening.answer.set_exception(error)


def _is_put_off(answer: Opened | Failed) -> bool:
    """Whether open connections wait for a better answer than this."""
    return isinstance(answer, TakesNoWrites) or (isinstance(answer, Opened) and answer.status == "ahead")


def _ending(answer: Opened | Failed, tail: Ring) -> int | None:
    """The close code with which a tail's connections must end; ``None``: they may stay."""
    if not isinstance(answer, Opened):
        log.error("a mailbox cannot be read", extra={"mailbox": tail.mailbox, "error": str(answer)})
        return codes.BUSY
    if answer.status == "barred":
        return codes.NOT_ALLOWED
    # The address has become a slave: its former holder's credential must not lead into the account's mailbox.
    return codes.NO_CREDENTIAL if answer.mailbox != tail.mailbox else None


def _is_overtaken(answer: Opened, tail: Tail, asked: Position) -> bool:
    """Whether live entries arrived after all, although the answer says that the tail cannot be resumed.

    Then nothing was missing. Starting over from the answer, which is older, would deliver those entries twice.
    """
    return answer.status != "resumed" and answer.top.epoch == tail.epoch and tail.position != asked


def _begins_anew(answer: Opened | Failed, tail: Ring) -> bool:
    """Whether an answer makes those who follow a tail start over with a snapshot."""
    if not isinstance(answer, Opened) or answer.status == "ahead":
        return False
    return answer.status != "resumed" or answer.top.epoch != tail.epoch


def _take(marks: dict[T, None]) -> list[T]:
    taken = list(marks)[:_BATCH]
    for one in taken:
        del marks[one]
    return taken
