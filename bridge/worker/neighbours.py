"""Warns when the same namespace is led in another database of the same server: neither bridge works then."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from bridge.journal.databases import Databases
from bridge.journal.errors import JournalError

log = logging.getLogger(__name__)

_LOOK_S: Final = 60.0


class NeighbourWatch:
    """Looks every ``look_s`` seconds; each database is reported once."""

    def __init__(self, databases: Databases, *, look_s: float = _LOOK_S) -> None:
        self._databases = databases
        self._look_s = look_s

    async def run(self) -> None:
        """Look until cancelled."""
        said: set[int] = set()
        while True:
            # Faults of Redis are reported by the parts that depend on it.
            with suppress(JournalError):
                found = await self._databases.led_elsewhere()
                if not said.issuperset(found):
                    log.error(
                        "another bridge of this namespace leads in another database of this server",
                        extra={"databases": found},
                    )
                said.update(found)
            await asyncio.sleep(self._look_s)
