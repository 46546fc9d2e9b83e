"""Tell the worker whose mailbox is being looked at: it asks the provider only for those.

Entries expire by themselves, nobody counts up and down: an edge that died leaves nothing behind for long.
"""

from __future__ import annotations

import asyncio
from typing import Final

from bridge.edge.feed import Feed
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader

_LOOK_S: Final = 1.0
_RENEW_S: Final = 30
_LAST_S: Final = 90


class Presence:
    """Keeps the mailboxes of this process in ``{ns}:online``."""

    def __init__(self, reader: Reader, feed: Feed) -> None:
        self._reader = reader
        self._feed = feed

    async def run(self) -> None:
        """New mailboxes within a second, all of them every thirty; until cancelled."""
        marked: set[str] = set()
        looks = 0
        while True:
            now = set(self._feed.mailboxes)
            due = now if looks % _RENEW_S == 0 else now - marked
            try:
                await self._reader.mark_online(due, for_s=_LAST_S)
            except JournalError:
                # The next look tries again, for everybody.
                now, looks = set(), -1
            marked = now
            looks += 1
            await asyncio.sleep(_LOOK_S)
