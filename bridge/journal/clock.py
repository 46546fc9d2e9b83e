"""Redis's clock, as a process has it between two looks at it.

What one process says of a time another compares: how far a leader before us heard, when a mail arrived, how old an
event is, since when an edge was deaf. The clocks of two machines are minutes apart where nobody looks; Redis's is
everybody's.
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
    """Call it for epoch seconds. ``ask`` reads Redis's clock (epoch ms); before the first look ours has to do.

    Between two looks the time goes on by ``now`` (monotonic seconds), so that nobody who sets this machine's clock
    changes anything.
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
        """Ask Redis; an answer that was long under way is not as good as the one before it.

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
