"""When to ask for members, and in which order things are done with the answers.

The cursor moves only together with the member changes it stands for, so after a crash the same changes are asked for
again. An answer is applied in parts; after a fault it goes on with the part that the fault broke off.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.labels import SyncKind
from bridge.obs.metrics import Metrics
from bridge.provider.faults import ProviderError
from bridge.provider.members import Members
from bridge.worker.allowance import Allowance
from bridge.worker.answer import Answer
from bridge.worker.debts import Debts, Timetable
from bridge.worker.decisions import Decisions
from bridge.worker.guard import Guard
from bridge.worker.known import Known
from bridge.worker.notices import Applied, Notices
from bridge.worker.precedence import Precedence
from bridge.worker.profiles import Fetch
from bridge.worker.questions import Questions
from bridge.worker.registrar import Registrar
from bridge.worker.scribe import CursorElsewhere, Scribe
from bridge.worker.seldom import Seldom
from bridge.worker.stage import Stage
from bridge.worker.work import Work

T = TypeVar("T")


class NotBelieved(Exception):
    """An answer cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class DirectoryPace:
    """Seconds.

    ``look_s``: until the next pull if nothing is pushed · ``hurt_look_s``: the same after an answer that could not be
    used · ``full_first_s``, ``full_pause_s``: the least and the greatest pause between two full pulls that unusable
    answers make necessary · ``idle_s``: the least time between two pulls that bring nothing, doubled for each further
    one up to ``idle_most_s`` · ``second_look_s``: the least time before a second look at somebody who was said to be
    gone · ``push_s``: how long the push of a change is waited for before an address changes hands · ``overtaking_s``:
    the least time between two questions for changes that may go before others.
    """

    look_s: float = 300.0
    hurt_look_s: float = 30.0
    full_first_s: float = 15.0
    full_pause_s: float = 600.0
    idle_s: float = 0.25
    idle_most_s: float = 5.0
    second_look_s: float = 2.0
    push_s: float = 5.0
    overtaking_s: float = 1.0


USUAL_PACE: Final = DirectoryPace()


class Directory:
    """Keeps the mirror for a leader. ``slaves`` is shared with the translator; ``wall`` gives epoch seconds.

    ``appeared`` is called with each account that is new; ``caught_up`` returns when all that was read is committed.
    """

    def __init__(
        self,
        members: Members,
        writer: Writer,
        mirror: Mirror,
        metrics: Metrics,
        slaves: dict[str, str],
        *,
        namespace: str,
        guard: Guard,
        fields: Collection[str],
        appeared: Callable[[str], None],
        caught_up: Callable[[], Awaitable[None]],
        pace: DirectoryPace = USUAL_PACE,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._members = members
        self._mirror = mirror
        self._fields = frozenset(fields)
        self._pace = pace
        self._wall = wall
        self._precedence = Precedence(caught_up, patience_s=pace.push_s)
        self._known = Known(slaves, metrics, cursor_of=members.cursor_of)
        notices, scribe = Notices(namespace, wall), Scribe(writer, self._known, settled=self._precedence.settled)
        self._registrar = Registrar(scribe, mirror, notices, guard, appeared)
        self._stage = Stage(scribe, mirror, notices, self._fields)
        self._decisions = Decisions(self._registrar, scribe, mirror, notices)
        timetable = Timetable(second_look_s=pace.second_look_s)
        self._allowance = Allowance()
        self._debts = Debts(members, self._registrar, self._fields, timetable, self._allowance, named=self._named)
        self._questions = Questions(members, self._registrar, metrics, wall=wall)
        self._work: Work | None = None
        self._overtaken: Work | None = None
        self._overtaken_for = 0
        self._overtaken_at = float("-inf")
        self._compared: Callable[[], Awaitable[None]] | None = None
        self._pushed = 0
        self._stale = False
        self._seldom = Seldom(first_s=pace.full_first_s, most_s=pace.full_pause_s, clock=wall)
        self._idle = 0
        self._look_at = 0.0
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def cursor(self) -> int:
        """The cursor to listen with: 0 before the first fill."""
        return self._known.ver or 0

    def version(self, ver: int) -> None:
        """The provider pushed a cursor; the latest wins."""
        self._pushed = ver
        self._precedence.pushed(ver)
        if ver != self._known.ver:
            self._news.set()

    def look(self) -> None:
        """Something may have changed."""
        self._news.set()

    def listening(self) -> None:
        """The provider listens to us, on a connection that was not there before."""
        self._precedence.began()

    async def load(self) -> None:
        """Read what the leader before left."""
        await self._read()
        # Changes while nobody led were pushed to nobody: ask for them.
        self._news.set()

    def compare_all(self, done: Callable[[], Awaitable[None]]) -> None:
        """Compare everybody next, whatever the cursor says; ``done`` is called once that is stored."""
        self._compared = done
        self._news.set()

    def doubt(self) -> None:
        """Redis went back: mirror and cursor may be older than what is known here. Read them, and pull from there."""
        self._stale = True
        self._news.set()

    async def run(self, progress: Callable[[], None]) -> None:
        """Pull whenever there is news, and now and then without, because a push may have been missed. Settle what is
        owed.

        Raises:
            ProviderError: the provider is away or busy; the cursor has not moved, run again later.
            JournalAway, CursorElsewhere: the same.
            LeaseLost
        """
        while True:
            pulls = await self._wait()
            read = 0 if self._work is None else self._work.parts_read
            try:
                if pulls:
                    await self._pull()
                # News comes first: what is owed has waited already.
                while await self._turned(self._debts.settle) and not self._news.is_set():
                    pass
            except BaseException:
                if self._work is not None and self._work.parts_read != read:
                    progress()
                self._news.set()
                raise
            progress()

    # -- an operator's orders: each waits for the part of an answer that is under way, not for all of the answer

    async def resync(self) -> Applied:
        """Compare everybody. What a fault breaks off goes on by itself.

        Raises:
            NotBelieved: the listing cannot be used.
            ProviderError, JournalAway, CursorElsewhere
        """
        return await self._ordered(self._resync)

    async def release(self, digest: str) -> Applied:
        """Delete the accounts that are held; see :meth:`Decisions.release`."""
        return await self._ordered(lambda: self._decisions.release(digest))

    async def refuse(self, digest: str) -> int:
        """Keep the accounts that are held; see :meth:`Decisions.refuse`."""
        return await self._ordered(lambda: self._decisions.refuse(digest))

    async def forget(self, address: str) -> tuple[str, bool, int]:
        """Delete all that is kept of a mailbox; see :meth:`Decisions.forget`."""
        return await self._ordered(lambda: self._decisions.forget(address))

    async def _ordered(self, do: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._turned(do)
        finally:
            # The cursor may have moved past what was pushed, or stand where a pull has to go on.
            self._news.set()

    async def _turned(self, do: Callable[[], Awaitable[T]]) -> T:
        """Do it when nothing else is under way, with what is stored."""
        async with self._turn:
            if self._stale:
                await self._read()
            try:
                return await do()
            except CursorElsewhere:
                self._stale = True
                raise

    async def _resync(self) -> Applied:
        await self._everything()
        if self._work is None:
            raise NotBelieved("the provider's listing of everything is empty or has no Ver")
        applied = Applied()
        while (work := self._work) is not None:
            await self._go_on()
            applied = work.applied
        return applied

    # -- asking

    async def _read(self) -> None:
        self._stale = True
        # What was begun with another mirror has to begin anew.
        self._work = self._overtaken = None
        await self._known.read(self._mirror)
        self._stale = False

    async def _wait(self) -> bool:
        """Wait for news or the time to look (``True``), or until something that is owed is due (``False``)."""
        if self._idle:
            # Neither a cursor that moves with each answer nor endless pushes may make us ask without end.
            await asyncio.sleep(min(self._pace.idle_s * 2 ** (self._idle - 1), self._pace.idle_most_s))
        now = asyncio.get_running_loop().time()
        waits = [max(0.0, self._look_at - now)]
        if (due_s := self._debts.next_s()) is not None:
            waits.append(due_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits)):
                await self._news.wait()
        return self._news.is_set() or asyncio.get_running_loop().time() >= self._look_at

    async def _pull(self) -> None:
        self._news.clear()
        if self._work is None or self._stale:
            await self._turned(self._ask)
        else:
            # A fault broke it off. What came since is asked for when it is done.
            self._news.set()
        while self._work is not None:
            await self._turned(self._go_on)
        wait_s = self._pace.look_s
        if not self._questions.usable:
            wait_s = min(self._pace.hurt_look_s, self._seldom.wait_s or self._pace.hurt_look_s)
        self._look_at = asyncio.get_running_loop().time() + wait_s

    async def _ask(self) -> None:
        if self._known.ver is None or not self._known.accounts or self._compared is not None:
            # A stored cursor that the source did not give says nothing of what came since either.
            await self._everything(after_refusal=self._known.ver is None)
            return
        pushed, cursor = self._pushed, self.cursor
        answer = await self._questions.counted("delta", self._questions.changes(cursor, announced=pushed))
        self._idle = min(self._idle + 1, 10) if answer.is_empty else 0
        if answer.is_empty and not answer.listing.newer and self._pushed == pushed:
            # The pushed cursor was waited for in vain, or there was none: one push is waited for once.
            self._pushed = 0
        if not answer.listing.refused:
            self._begin(answer, "delta")
            return
        await self._questions.refused("delta", answer.listing)
        if not self._seldom.wait_s:
            await self._everything(after_refusal=True)
            self._seldom.done()

    async def _everything(self, *, after_refusal: bool = False) -> None:
        """Ask for everybody, to compare with the mirror or to fill one."""
        answer = await self._questions.counted("full", self._questions.everybody())
        if answer.listing.refused:
            await self._questions.refused("full", answer.listing)
        else:
            self._begin(answer, "full", after_refusal=after_refusal)

    async def _named(self) -> Collection[str] | None:
        """Whom the changes name that are not applied yet; ``None``: that cannot be said now."""
        cursor, pushed = self._known.ver, self._pushed
        if cursor is None:
            return None
        answer = await self._questions.changes(cursor, announced=0)
        if answer.listing.refused or answer.listing.short or answer.listing.ver < pushed:
            return None
        names = {*answer.claims.present, *answer.claims.gone}
        if names:
            self._news.set()
        return names

    # -- applying

    def _begin(self, answer: Answer, kind: SyncKind, *, after_refusal: bool = False) -> None:
        fills = not self._known.accounts
        self._overtaken = None
        self._precedence.answered(answer.listing.ver)
        self._work = Work(answer, kind, fills, answer.listing.ver, deque(answer.claims.present), after_refusal)

    async def _go_on(self) -> None:
        """Apply one part of the answer that is under way, or of one that goes first."""
        await self._overtake()
        work = self._work
        if work is None:
            return
        fetch = Fetch(self._members, self._fields, self._allowance)
        before = self.cursor
        part = work.fill(fetch, self._stage) if work.fills else work.compare(fetch, self._registrar)
        if await self._questions.counted(work.kind, part):
            self._work, self._overtaken = self._overtaken, None
            await self._done(work, before)

    async def _overtake(self) -> None:
        """Begin with changes that were pushed while everybody is being compared, or many changes are being applied,
        which may take minutes.

        If the answer cannot be used, they come behind the rest, as if nobody had asked.
        """
        work, pushed, now = self._work, self._pushed, asyncio.get_running_loop().time()
        if work is None or not work.may_be_overtaken or now < self._overtaken_at + self._pace.overtaking_s:
            return
        cursor = self._known.ver if work.kind == "full" else work.ver
        if cursor is None or pushed <= max(cursor, self._overtaken_for):
            return
        self._overtaken_for, self._overtaken_at = pushed, now
        try:
            answer = await self._questions.changes(cursor, announced=pushed)
        except ProviderError:
            return
        if answer.listing.refused or answer.listing.short or answer.is_empty:
            return
        if work.kind == "full":
            await work.overtaken(answer)
            self._begin(answer, "delta")
            self._overtaken = work
            return
        await work.headed_by(answer)
        self._precedence.answered(answer.listing.ver)
        if self._overtaken is not None:
            await self._overtaken.overtaken(answer)

    async def _done(self, work: Work, before: int) -> None:
        listing = work.answer.listing
        if work.kind == "full" and listing.settled and self._compared is not None:
            await self._compared()
            self._compared = None
        outcome = await self._questions.applied(work.kind, work.answer, work.applied, moved=before != self.cursor)
        if (self._pushed > self.cursor and outcome != "unchanged") or work.ver != listing.ver:
            # The answer was not the newest, or the mirror is as old as the first listing of a long fill.
            self._news.set()
