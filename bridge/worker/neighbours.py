"""Says when the same namespace is led in another database of the same server: neither bridge can work so."""

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
    """Looks from time to time, ``look_s`` seconds between two looks; what was said once is not said again."""

    def __init__(self, databases: Databases, *, look_s: float = _LOOK_S) -> None:
        self._databases = databases
        self._look_s = look_s

    async def run(self) -> None:
        """Look until cancelled."""
        said: set[int] = set()
        while True:
            # Whatever is wrong with Redis is told by those who need it.
            with suppress(JournalError):
                found = await self._databases.led_elsewhere()
                if not said.issuperset(found):
                    log.error(
                        "another bridge of this namespace leads in another database of this server",
                        extra={"databases": found},
                    )
                said.update(found)
            await asyncio.sleep(self._look_s)
