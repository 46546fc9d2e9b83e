"""At most so many calls a second: a provider that limits its rate says 1002 to whoever comes too fast."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Pace:
    """Gives turns, evenly, ``rate`` a second; ``None`` gives each at once. What was not used is not saved."""

    def __init__(self, rate: float | None, *, now: Callable[[], float] = time.monotonic) -> None:
        if rate is not None and rate <= 0:
            raise ValueError("a rate is more than 0 calls a second")
        self._interval_s = 0.0 if rate is None else 1 / rate
        self._now = now
        self._next_s = 0.0

    def turn_s(self) -> float:
        """Take the next turn; return how many seconds it is away."""
        now = self._now()
        due = max(self._next_s, now)
        self._next_s = due + self._interval_s
        return due - now

    async def turn(self) -> None:
        """Take the next turn and wait for it."""
        if (wait_s := self.turn_s()) > 0:
            await asyncio.sleep(wait_s)
