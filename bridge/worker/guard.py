"""How many accounts one answer of the provider may delete. Pure.

Deleting is the one change that cannot be made good by asking again: browsers are cut off and histories are gone. A
listing that came back short must not do that to everybody.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Guard:
    """More than ``count`` deletions that are more than ``share`` of all accounts (0.1 = a tenth) are too many."""

    share: float = 0.1
    count: int = 5

    def refuses(self, deletions: int, accounts: int) -> bool:
        """Say whether so many of so many must wait for somebody to decide."""
        return deletions > self.count and deletions > accounts * self.share
