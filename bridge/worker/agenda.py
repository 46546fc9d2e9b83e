"""The mailboxes whose counts are to be asked for: each once, however often it is wanted; the most urgent first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

_ABSENT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Item:
    """A mailbox to ask for. ``doubtful``: its count may be wrong however fresh it is."""

    mailbox: str
    doubtful: bool
    queue: dict[str, None] = field(repr=False, compare=False)


class Agenda:
    """A leader's parts put mailboxes on it, the reconciler takes them off. ``now`` gives monotonic seconds."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        # In the order of their urgency. A mailbox may be in several.
        self._opened: dict[str, None] = {}
        self._changed: dict[str, None] = {}
        self._swept: dict[str, None] = {}
        self._asked_for: set[str] = set()
        self._resting: dict[str, asyncio.TimerHandle] = {}
        self._absent: dict[str, float] = {}
        self._something = asyncio.Event()
        self._gap = asyncio.Event()
        self._room = asyncio.Event()

    # -- what is wanted

    def after_gap(self) -> None:
        """Pushes were missed: whatever somebody may look at is to be asked for."""
        self._gap.set()
        self._room.set()

    def changed(self, mailboxes: Iterable[str]) -> None:
        """The counts of these changed, and the new ones are not known."""
        self._add(self._changed, mailboxes)

    def opened(self, mailboxes: Iterable[str]) -> None:
        """Somebody opened these. Where a question is under way, its answer will do."""
        self._add(self._opened, (mailbox for mailbox in mailboxes if mailbox not in self._asked_for))

    def sweep(self, mailboxes: Iterable[str]) -> None:
        """The counts of these are doubtful, and perhaps nobody looks at them: they come last."""
        self._add(self._swept, mailboxes)

    def appeared(self, mailbox: str) -> None:
        """The provider knows this mailbox now: whoever looks at it waits no longer."""
        if self._absent.pop(mailbox, None) is not None:
            self.changed([mailbox])

    # -- for whoever asks

    @property
    def opened_waiting(self) -> int:
        """How many opened mailboxes wait."""
        return len(self._opened)

    async def gap(self) -> None:
        """Wait for the next gap."""
        await self._gap.wait()
        self._gap.clear()

    async def room(self) -> bool:
        """Wait until all of a sweep is taken; ``False``: there is a new gap, and the sweep has to begin again."""
        while self._swept and not self._gap.is_set():
            self._room.clear()
            await self._room.wait()
        return not self._gap.is_set()

    async def take(self) -> Item:
        """Wait for the next mailbox. :meth:`done` has to follow."""
        while (item := self._next()) is None:
            self._something.clear()
            await self._something.wait()
        self._asked_for.add(item.mailbox)
        return item

    def done(self, item: Item) -> None:
        """No question is under way for it any more."""
        self._asked_for.discard(item.mailbox)

    def again(self, item: Item) -> None:
        """Ask for it once more, when its turn comes."""
        self._add(item.queue, [item.mailbox])

    def rest(self, item: Item, for_s: float) -> None:
        """Ask for it once more after ``for_s`` seconds; others have their turn meanwhile."""

        def again() -> None:
            del self._resting[item.mailbox]
            self.again(item)

        if item.mailbox not in self._resting:
            self._resting[item.mailbox] = asyncio.get_running_loop().call_later(for_s, again)

    def leave_alone(self, mailbox: str, for_s: float) -> None:
        """The provider does not know this mailbox: do not ask for it for ``for_s`` seconds."""
        now = self._now()
        if len(self._absent) >= _ABSENT_MOST:
            self._absent = {each: until for each, until in self._absent.items() if until > now}
        self._absent[mailbox] = now + for_s

    def close(self) -> None:
        """Cancel what waits for its time."""
        for resting in self._resting.values():
            resting.cancel()
        self._resting.clear()

    def _add(self, queue: dict[str, None], mailboxes: Iterable[str]) -> None:
        for mailbox in mailboxes:
            if self._absent.get(mailbox, -inf) < self._now():
                queue[mailbox] = None
        if queue:
            self._something.set()

    def _next(self) -> Item | None:
        for queue in (self._opened, self._changed, self._swept):
            if queue:
                mailbox = next(iter(queue))
                doubtful = queue is not self._opened or mailbox in self._changed
                for each in (self._opened, self._changed, self._swept):
                    each.pop(mailbox, None)
                if not self._swept:
                    self._room.set()
                return Item(mailbox, doubtful, self._changed if doubtful else self._opened)
        return None
