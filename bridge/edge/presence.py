"""Tell the worker which mailboxes are open: it asks the provider for the counts of those only.

Entries expire by themselves instead of being counted up and down, so an edge that died leaves none behind for long.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from bridge.edge.feed import Feed
from bridge.edge.tail import Tail
from bridge.events import CANARY
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader


class Presence:
    """Keeps the open mailboxes of this process in ``{ns}:online``.

    A new one is entered within ``look_s``; all are renewed every ``renew_s``, each time for ``last_s`` seconds, and not
    all at once: some at each look.
    """

    def __init__(
        self, reader: Reader, feed: Feed, *, look_s: float = 1.0, renew_s: float = 30.0, last_s: int = 90
    ) -> None:
        self._reader = reader
        self._feed = feed
        self._look_s = look_s
        self._renew_looks = max(1, round(renew_s / look_s))
        self._last_s = last_s

    async def run(self) -> None:
        """Enter and renew until cancelled."""
        waiting: list[Tail] = []
        looks = portion = 0
        behind = False
        while True:
            if not looks:
                waiting = self._feed.tails()
                portion = len(waiting) if behind else math.ceil(len(waiting) / self._renew_looks)
            due = [*self._feed.take_arrived(), *waiting[:portion]]
            del waiting[:portion]
            try:
                await self._reader.mark_online(_followed(due), for_s=self._last_s)
            except JournalError:
                # Enter all of them again at the next look.
                behind, looks = True, 0
            else:
                behind, looks = False, (looks + 1) % self._renew_looks
            await asyncio.sleep(self._look_s)


def _followed(tails: Iterable[Tail]) -> list[str]:
    return [tail.mailbox for tail in tails if tail.cursors and tail.mailbox != CANARY]
