"""Tell the worker which mailboxes are open: it asks the provider for the counts of those only.

Entries expire by themselves instead of being counted up and down, so an edge that died leaves none behind for long.
"""

from __future__ import annotations

import asyncio

from bridge.edge.feed import Feed
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader


class Presence:
    """Keeps the open mailboxes of this process in ``{ns}:online``.

    A new one is entered within ``look_s``; all are renewed every ``renew_s``, each time for ``last_s`` seconds.
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
        looks = 0
        while True:
            # Those that are there already were entered for longer than until the next renewal.
            arrived = self._feed.take_arrived()
            due = self._feed.mailboxes if looks % self._renew_looks == 0 else arrived
            try:
                await self._reader.mark_online(due, for_s=self._last_s)
            except JournalError:
                # Enter all of them again at the next look.
                looks = -1
            looks += 1
            await asyncio.sleep(self._look_s)
