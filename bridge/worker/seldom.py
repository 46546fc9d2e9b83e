"""How often something dear may be done again."""

from __future__ import annotations

from collections.abc import Callable


class Seldom:
    """At first at once, then after a pause of ``first_s`` that doubles each time up to ``most_s``.

    Whoever did without it for twice ``most_s`` begins anew. ``clock`` is seconds.
    """

    def __init__(self, *, first_s: float, most_s: float, clock: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._clock = clock
        self._pause_s = 0.0
        self._done_at = float("-inf")

    @property
    def wait_s(self) -> float:
        """Seconds until it may be done; 0: now."""
        return max(0.0, self._done_at + self._pause_s - self._clock())

    def done(self) -> None:
        """It was done now."""
        now = self._clock()
        quiet = now - self._done_at >= 2 * self._most_s
        self._pause_s = self._first_s if quiet else min(self._pause_s * 2, self._most_s)
        self._done_at = now
