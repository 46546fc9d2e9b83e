"""Redis's clock, and an estimate of it between two questions.

Processes compare times that others wrote: until when a former leader heard the provider, when a mail arrived, how old
an event is, since when an edge was deaf. The clocks of two machines may differ by minutes; Redis's clock is shared.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import Client, typed
from bridge.journal.errors import translated

_ROUND_S: Final = 1.0


async def redis_now_ms(redis: Redis | Client) -> int:
    """Redis's clock in epoch ms.

    Raises:
        JournalAway, JournalRefused
    """
    with translated():
        seconds, micros = await typed(redis).time()
    return int(seconds) * 1000 + int(micros) // 1000


class SharedClock:
    """Call it for epoch seconds by Redis's clock. ``ask`` reads that clock (epoch ms).

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
        """Ask Redis; an answer that took too long is ignored, because the previous one is more exact.

        Raises:
            JournalAway, JournalRefused
        """
        asked_at = self._now()
        said_s = await self._ask() / 1000
        answered_at = self._now()
        if self._is_known and answered_at - asked_at > _ROUND_S:
            return
        self._ahead_s = said_s - (asked_at + answered_at) / 2
        self._is_known = True
