"""Notice that another listener takes the provider's one connection away from us.

The provider says nothing when it gives the connection to somebody else: it closes it.
Two listeners that come back at once would take it from each other for ever and miss mails all the while.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_WINDOW_S: Final = 600.0
_TIMES: Final = 3
_AT_ONCE_S: Final = 0.1
"""A provider that answers and closes does both at once; another listener has to connect in between."""
_SHORT_S: Final = 20.0
"""A proxy that ends what is idle, or a provider that holds no connection for long, takes longer than this; somebody
who wants the connection back does not."""


class Rival:
    """Counts how often we were displaced. ``pause_s``: how long to leave the connection to the other, about."""

    def __init__(self, *, pause_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._now = now
        self._displaced: deque[float] = deque()

    def displaced(self, lived_s: float) -> float | None:
        """The provider closed, in good order, a session that stood for ``lived_s`` seconds.

        Returns how many seconds to stay away where that makes three times in ten minutes, else ``None``. Two bridges
        must not come back at the same moment, so it is not the same time for each.
        """
        now = self._now()
        if not _AT_ONCE_S <= lived_s < _SHORT_S:
            return None
        self._displaced.append(now)
        while self._displaced and self._displaced[0] <= now - _WINDOW_S:
            self._displaced.popleft()
        if len(self._displaced) < _TIMES:
            return None
        return self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
