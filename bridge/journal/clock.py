"""Redis's clock, and an estimate of it between two questions.

Processes compare times that others wrote: until when a former leader heard the provider, when a mail arrived, how old
an event is, since when an edge was deaf. The clocks of two machines may differ by minutes; Redis's clock is shared.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from bridge.journal.client import Client, typed
from bridge.journal.errors import translated


async def redis_now_us(redis: Redis | Client) -> int:
    """Redis's clock in epoch µs.

    Raises:
        JournalAway, JournalRefused
    """
    with translated():
        seconds, micros = await typed(redis).time()
    return int(seconds) * 1_000_000 + int(micros)


class SharedClock:
    """Call it for epoch seconds by Redis's clock. ``ask`` reads that clock (epoch µs).

    Before the first look it follows this machine's clock. Between two looks it advances with ``now`` (monotonic
    seconds), so that setting this machine's clock has no effect.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[int]],
        *,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._now = now
        self._ahead_s = wall() - now()
        self._is_known = False

    def __call__(self) -> float:
        return self._now() + self._ahead_s

    async def look(self) -> None:
        """Ask Redis. What it says was so at some moment between question and answer: what we had is moved as far as
        that proves it wrong, and no further, so that each look makes it more exact and a slow one does no harm.

        Raises:
            JournalAway, JournalRefused
        """
        if not self._is_known:
            # To dial may take most of the first one's time.
            least_s, most_s = await self._bounds()
            self._ahead_s = (least_s + most_s) / 2
            self._is_known = True
        least_s, most_s = await self._bounds()
        self._ahead_s = min(max(self._ahead_s, least_s), most_s)

    async def _bounds(self) -> tuple[float, float]:
        asked_at = self._now()
        said_s = await self._ask() / 1e6
        return said_s - self._now(), said_s - asked_at
