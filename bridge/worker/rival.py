"""Notice that another listener keeps taking the provider's one connection from us.

The provider gives no reason when it lets another listener in: it closes our connection. Two listeners that return at
once would take it from each other for ever, and miss mails all the time.
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
"""A session that ends sooner was closed by the provider itself; another listener needs a moment to connect."""
_SHORT_S: Final = 20.0
"""A session that lasts longer was ended by a proxy's idle limit or by the provider; a rival returns sooner."""


class Rival:
    """Counts how often we were displaced. ``pause_s``: about how long to leave the connection to the other listener."""

    def __init__(self, *, pause_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._now = now
        self._displaced: deque[float] = deque()

    def displaced(self, lived_s: float) -> float | None:
        """The provider closed a session in order, ``lived_s`` seconds after it was acknowledged.

        Returns how many seconds to stay away if that is the third time within ten minutes, else ``None``. The time is
        random, because two bridges must not return at the same moment.
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
