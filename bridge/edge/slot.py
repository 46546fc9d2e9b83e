"""Connections that have their turn at the same step of the timer."""

from __future__ import annotations

import math

from bridge.edge.connection import Connection


class Slot:
    """Some of the connections, and when the first of them has to end: ten thousand are not looked at in vain.

    ``expires``: epoch seconds; ``ends_at``: monotonic seconds. Both may be too early, never too late.
    """

    __slots__ = ("connections", "ends_at", "expires")

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self._forget()

    def _forget(self) -> None:
        self.expires = self.ends_at = math.inf

    def add(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.note(connection)

    def note(self, connection: Connection) -> None:
        """It has another time to end."""
        self.expires = min(self.expires, connection.identity.expires)
        self.ends_at = min(self.ends_at, connection.ends_at)

    def due(self, wall: float, now: float) -> list[Connection]:
        """Those whose time has come."""
        if self.expires > wall and self.ends_at > now:
            return []
        self._forget()
        found = []
        for connection in self.connections:
            if connection.identity.expires <= wall or connection.ends_at <= now:
                found.append(connection)
            else:
                self.note(connection)
        return found
