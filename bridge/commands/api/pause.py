"""How to go on with a provider that says "later", in whatever words: one pause for all calls of a run.

It says so by errcode 1002, by an HTTP status, by a page of HTML with status 200, by a code that no document has, or by
not answering at all. All count together, because asking in another way does not help.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bridge.provider.faults import (
    Busy,
    CallerFault,
    NotFound,
    ProviderAway,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
)

T = TypeVar("T")

FIRST_S: Final = 0.5
MOST_S: Final = 30.0
SLOWEST: Final = 0.5
"""Calls a second, below which nobody is slowed down."""
DOUBTS_MOST: Final = 3
"""So often something is asked again where the answer may mean "later" or may mean what was asked."""
ALIKE_MOST: Final = 3
"""So many rows in succession that end in the same doubtful way are a fault of the provider, not of the rows."""
_QUICKER: Final = 0.98


class GaveUp(Exception):
    """The provider said "later" for too long. ``error`` is what it said last."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


def is_later(error: ProviderError) -> bool:
    """Whether it certainly means "later"."""
    return isinstance(error, Busy | ProviderAway)


def is_doubtful(error: ProviderError) -> bool:
    """Whether it may mean "later", or that something is wrong with what was asked."""
    return isinstance(error, UnreadableAnswer) or type(error) is ProviderRefused


class Pause:
    """Gives turns to all calls of a run, and keeps them waiting after one was put off, twice as long each time.

    ``rate``: calls a second, evenly; halved with each pause, and slowly raised again by answers. ``wait_s``: how long
    the provider may put us off without a single answer in between. ``probe`` is a call that every provider answers: it
    tells whether a doubtful answer means everybody or only what was asked.
    """

    def __init__(
        self,
        *,
        rate: float,
        wait_s: float,
        probe: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._least_s = self._interval_s = 1 / rate
        self._wait_s = wait_s
        self._probe = probe
        self._clock = clock
        self._sleep = sleep
        self._next_at = float("-inf")
        self._put_off_since: float | None = None
        self._paused_at = float("-inf")
        self._until = float("-inf")
        self._delay_s = FIRST_S
        self._alike = 0
        self._last = ""

    async def turn(self) -> float:
        """Wait for a turn; return when it began, for :meth:`put_off`."""
        while True:
            now = self._clock()
            due = max(now, self._until, self._next_at)
            self._next_at = due + self._interval_s
            await self._sleep(due - now)
            # Meanwhile another call may have been put off.
            if self._until <= (now := self._clock()):
                return now

    def answered(self) -> None:
        """The provider answered what it was asked."""
        self._put_off_since = None
        self._delay_s = FIRST_S
        self._interval_s = max(self._least_s, self._interval_s * _QUICKER)

    def settled(self) -> None:
        """A row is done, or was refused for a reason of its own."""
        self.answered()
        self._alike = 0

    def put_off(self, error: ProviderError, *, began: float) -> None:
        """A call that began then was put off; the next ones wait.

        Raises:
            GaveUp: it has lasted too long.
        """
        now = self._clock()
        if self._put_off_since is None:
            self._put_off_since = now
        left_s = self._put_off_since + self._wait_s - now
        if left_s <= 0:
            raise GaveUp(error)
        if began <= self._paused_at:
            # It was under way when another call began the pause that all share.
            return
        self._paused_at = now
        self._until = now + min(self._delay_s, left_s)
        self._delay_s = min(2 * self._delay_s, MOST_S)
        self._interval_s = max(self._interval_s, min(2 * self._interval_s, 1 / SLOWEST))

    def left_open(self, error: ProviderError) -> None:
        """A row ended in a doubtful way.

        Raises:
            GaveUp: so did those before it.
        """
        said = getattr(error, "errcode", "") or type(error).__name__
        self._alike = self._alike + 1 if said == self._last else 1
        self._last = said
        if self._alike >= ALIKE_MOST:
            raise GaveUp(error)

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that does no harm twice, until it is answered.

        Raises:
            GaveUp: it was put off for too long.
            ProviderError: any other refusal, or an answer that stays doubtful.
        """
        doubts = 0
        # Whether the provider answers all else: what it says once more is meant for this.
        is_alone = False
        while True:
            began = await self.turn()
            try:
                answer = await call()
            except (NotFound, CallerFault):
                self.answered()
                raise
            except ProviderError as error:
                doubts += is_doubtful(error)
                if not is_later(error) and (is_alone or not is_doubtful(error)):
                    raise
                is_alone = doubts >= DOUBTS_MOST and await self._answers()
                self.put_off(error, began=began)
            else:
                self.answered()
                return answer

    async def _answers(self) -> bool:
        """Whether the provider answers what has nothing to do with the rows."""
        await self.turn()
        try:
            await self._probe()
        except ProviderError:
            return False
        return True
