"""How many accounts the provider may make disappear at once. Pure.

Deleting is the one change that cannot be made good by asking again: browsers are cut off and histories are gone. A
listing that came back wrong must not do that to everybody; barring them all, though it can be undone, neither.
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
        """Say whether so many of so many must wait for somebody to decide."""
        return disappearing > self.count and disappearing > accounts * self.share

    def holds(self, new: Collection[str], accounts: Collection[str], waiting: Collection[str]) -> bool:
        """Say whether ``new`` must wait; ``waiting`` are held already, or barred until a second look.

        All are counted together: or a crowd that comes one by one would pass, and what is held with it as soon as
        enough others are hired.
        """
        known = {alias for alias in new if alias in accounts and alias not in waiting}
        return bool(known) and self.refuses(len(known) + len(waiting), len(accounts))
