"""How many calls to the provider may be under way at once. Pure.

The provider names no limit, so it is looked for as a sender looks for that of a network: up while answers come, down by
half at the first trouble, and from then on up slowly.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 8
MOST: Final = 96
"""A thousand calls a second, where each takes 50 ms and something of it is lost; the pool has 100 connections."""
_ROUNDS: Final = 10


class Allowance:
    """``now`` calls may be under way: :data:`FIRST` to begin with, never more than :data:`MOST` or less than one.

    Until the first trouble each round of answers doubles it; from then on ten rounds add one.
    """

    def __init__(self) -> None:
        self.now = FIRST
        self._doubles_below = MOST
        self._answers = 0

    def answered(self, under_way: int) -> None:
        """The provider answered while so many calls were under way; fewer than allowed say nothing of more."""
        if under_way < self.now or self.now == MOST:
            return
        self._answers += 1
        if self.now < self._doubles_below or self._answers >= self.now * _ROUNDS:
            self.now += 1
            self._answers = 0

    def troubled(self, under_way: int) -> None:
        """While so many calls were under way the provider was busy, did not answer, or refused one like the other."""
        self.now = self._doubles_below = max(1, min(self.now, under_way) // 2)
        self._answers = 0
