"""How many accounts the provider may make disappear at once. Pure.

A deletion is the one change that asking again does not repair: browsers are cut off and histories are gone. A wrong
listing must not do that to everybody. Barring can be undone, but must not happen to everybody at once either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """More than ``count`` that are more than ``share`` of all accounts (0.1 = a tenth) are too many."""

    share: float = 0.1
    count: int = 5

    def refuses(self, disappearing: int, accounts: int) -> bool:
        """Whether so many of so many have to wait for an operator."""
        return disappearing > self.count and disappearing > accounts * self.share

    def holds(self, new: Collection[str], accounts: Collection[str], waiting: Collection[str]) -> bool:
        """Whether ``new`` have to wait; ``waiting`` are held already, or barred until a second look.

        All are counted together. Otherwise a crowd could pass one by one, and held accounts as soon as enough people
        are hired.
        """
        known = set(new).intersection(accounts).difference(waiting)
        return bool(known) and self.refuses(len(known) + len(waiting), len(accounts))
