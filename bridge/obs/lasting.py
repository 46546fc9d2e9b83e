"""Log a state that lasts: when it begins, and once a minute as long as it is so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_AGAIN_S: Final = 60.0


class Lasting:
    """Whether a state that somebody meets again and again is logged this time. ``clock`` is monotonic seconds."""

    def __init__(self, *, again_s: float = _AGAIN_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._again_s = again_s
        self._clock = clock
        self._said_at: float | None = None

    def is_due(self) -> bool:
        """It is so; return whether to say it now. Whoever is told so says it."""
        now = self._clock()
        if self._said_at is not None and now - self._said_at < self._again_s:
            return False
        self._said_at = now
        return True

    def over(self) -> None:
        """It is so no more; the next time is told at once."""
        self._said_at = None
