"""The mailboxes whose counts are to be asked for: each once, however often it is wanted, the most urgent first."""

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
    """A mailbox to ask for. ``doubtful``: its count may be wrong also where it is fresh."""

    mailbox: str
    doubtful: bool
    queue: dict[str, None] = field(repr=False, compare=False)


class Agenda:
    """What a leader's parts want asked, and whoever asks takes. ``now`` gives monotonic seconds."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        # Opened by somebody who looks at it; changed, nobody said to what; in doubt, and perhaps looked at by nobody.
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
        """Pushes were missed; ask for everybody who may notice."""
        self._gap.set()
        self._room.set()

    def changed(self, mailboxes: Iterable[str]) -> None:
        """The counts of these may have changed, and nobody said to what."""
        self._add(self._changed, mailboxes)

    def opened(self, mailboxes: Iterable[str]) -> None:
        """Somebody looks at these. Who is being asked for already has the answer coming."""
        self._add(self._opened, (mailbox for mailbox in mailboxes if mailbox not in self._asked_for))

    def sweep(self, mailboxes: Iterable[str]) -> None:
        """The counts of these are in doubt; last of all."""
        self._add(self._swept, mailboxes)

    def appeared(self, mailbox: str) -> None:
        """The provider knows this mailbox now: whoever looks at it need not wait any longer."""
        if self._absent.pop(mailbox, None) is not None:
            self.changed([mailbox])

    # -- for whoever asks

    @property
    def opened_waiting(self) -> int:
        """How many of those that somebody looks at wait."""
        return len(self._opened)

    async def gap(self) -> None:
        """Wait until pushes were missed, and take that up."""
        await self._gap.wait()
        self._gap.clear()

    async def room(self) -> bool:
        """Wait until what was swept is taken; ``False``: pushes were missed meanwhile, and it begins anew."""
        while self._swept and not self._gap.is_set():
            self._room.clear()
            await self._room.wait()
        return not self._gap.is_set()

    async def take(self) -> Item:
        """Wait for the next mailbox; :meth:`done` gives it back."""
        while (item := self._next()) is None:
            self._something.clear()
            await self._something.wait()
        self._asked_for.add(item.mailbox)
        return item

    def done(self, item: Item) -> None:
        """Nobody asks for it any more."""
        self._asked_for.discard(item.mailbox)

    def again(self, item: Item) -> None:
        """Ask once more, when its turn comes."""
        self._add(item.queue, [item.mailbox])

    def rest(self, item: Item, for_s: float) -> None:
        """Ask once more after a while; meanwhile others have their turn."""

        def again() -> None:
            del self._resting[item.mailbox]
            self.again(item)

        if item.mailbox not in self._resting:
            self._resting[item.mailbox] = asyncio.get_running_loop().call_later(for_s, again)

    def leave_alone(self, mailbox: str, for_s: float) -> None:
        """The provider has nothing to tell of this mailbox: not asked again for a while."""
        now = self._now()
        if len(self._absent) >= _ABSENT_MOST:
            self._absent = {each: until for each, until in self._absent.items() if until > now}
        self._absent[mailbox] = now + for_s

    def close(self) -> None:
        """Forget what rests: nobody asks any more."""
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
