"""Ask the OA again about those who have a connection open, before its answer ends.

A connection whose session is nobody's now ends with 3009; one whose session is somebody else's ends with 3005, so that
it comes back as that person. While the OA gives no answer nothing is done, and the connection ends when it has been
kept long enough.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import Final, Protocol

from bridge.access.identity import Asked, Identity
from bridge.access.refused import Refused
from bridge.edge.connection import Connection
from bridge.edge.hub import Hub

_ROUND_S: Final = 1.0
_REST_S: Final = 5.0
"""How long an OA that does not answer is left alone."""
_PIECE: Final = 50


class Office(Protocol):
    """Whom to ask; see :class:`bridge.access.office.AskedOffice`."""

    def clock(self) -> float:
        """Monotonic seconds, of which answers say when to ask again."""

    async def again(self, asked: Asked) -> Identity:
        """Whose session it is now; raise :class:`Refused` for nobody's, and (503) if that cannot be known."""
        ...


class Renewal:
    """Renews the identities of the hub's connections. ``round_s``: how often it looks whose turn it is."""

    def __init__(self, hub: Hub, office: Office, *, round_s: float = _ROUND_S) -> None:
        self._hub = hub
        self._office = office
        self._round_s = round_s
        self._rested_at = -math.inf

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await asyncio.sleep(self._round_s)
            await self.round()

    async def round(self) -> None:
        """Ask about everybody whose turn it is, once for all connections of a session."""
        now = self._office.clock()
        if now < self._rested_at:
            return
        due: dict[bytes, tuple[Asked, list[Connection]]] = {}
        for connection in self._hub.everybody():
            asked = connection.identity.asked
            if asked is not None and asked.again_at <= now:
                due.setdefault(asked.key, (asked, []))[1].append(connection)
        sessions = list(due.values())
        # Some that never get an answer must not always stand before the others.
        random.shuffle(sessions)
        for start in range(0, len(sessions), _PIECE):
            piece = sessions[start : start + _PIECE]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._renew(*each), name="renewal of one") for each in piece]
            answered = [task.result() for task in tasks]
            if not all(answered):
                self._rested_at = self._office.clock() + _REST_S
            if not any(answered):
                return

    async def _renew(self, asked: Asked, connections: list[Connection]) -> bool:
        """Renew the connections of one session; return whether there was an answer."""
        try:
            found = await self._office.again(asked)
        except Refused as refused:
            if refused.status == 503:
                return False
            for connection in connections:
                connection.end(refused.code)
            return True
        for connection in connections:
            connection.renew(found)
        return True
