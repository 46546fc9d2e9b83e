"""The registry of this process's browser connections, and the one timer that serves them.

The timer ticks once a second, for all connections together. Each tick sends heartbeats and pings to a twenty-fifth of
them and checks pong deadlines, expired tokens and sockets that stay backed up.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.access import codes
from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.frames import HEARTBEAT, Frame
from bridge.events import Position
from bridge.obs.garbage import Garbage
from bridge.obs.labels import Transport, close_of
from bridge.obs.metrics import Metrics

HEARTBEAT_S: Final = 25
_PONG_S: Final = 10
_BACKED_UP_S: Final = 30.0
_TICK_S: Final = 1.0
_PIECE: Final = 500
_LEFT_MOST: Final = 4096
_LIFE_SPREAD: Final = 0.2
"""Lives differ by so much either way, so that those who came together do not leave together."""


@dataclass(frozen=True, slots=True)
class Left:
    """A connection that has ended, or goes on without the mailbox: the code that was told, and the last event written.

    Times in epoch seconds.
    """

    mailbox: str
    transport: str
    since: float
    until: float
    position: Position
    code: int


class Hub:
    """Registers the connections. ``clock``: monotonic seconds; ``wall``: epoch seconds, by which tokens expire.

    A connection lives for as long as ``life_s`` says when it begins, in seconds, a fifth more or less.
    ``ticked`` is called after each tick of the timer.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        life_s: Callable[[], float] = lambda: math.inf,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        ticked: Callable[[], None] = lambda: None,
    ) -> None:
        self._ticked = ticked
        self.behind: set[Connection] = set()
        self.frames: dict[Transport, int] = {"websocket": 0, "sse": 0}
        self.closing = False
        self.now = clock
        self._life_s = life_s
        self._wall = wall
        self._metrics = metrics
        self._slots: list[set[Connection]] = [set() for _ in range(HEARTBEAT_S)]
        self._next_slot = 0
        self._left: deque[Left] = deque(maxlen=_LEFT_MOST)
        self._beat = 0
        self._connections = metrics.edge_connections
        self._connects = metrics.edge_connects
        self._frames = metrics.edge_frames
        self.count = 0

    def wall(self) -> float:
        """Epoch seconds, by the clock that decides when a credential has expired."""
        return self._wall()

    def retry_ms(self, code: int) -> int:
        """How long a client that was closed with this code should wait; random, so that not all come back at once."""
        if not codes.may_return(code):
            return 3_600_000
        # Without a new credential coming back is useless, and getting one takes a question to the OA or a sign-in.
        return 30_000 if code == codes.NO_CREDENTIAL else random.randint(2000, 5000)  # noqa: S311 - no secret

    def everybody(self) -> list[Connection]:
        """All connections that are open now."""
        return [each for slot in self._slots for each in slot]

    def cursors(self) -> list[Cursor]:
        """The cursors of all open connections."""
        return [cursor for slot in self._slots for each in slot for cursor in each.cursors]

    def of(self, mailbox: str) -> list[Cursor]:
        """The cursors over one mailbox. A search through all connections, for operators' questions only."""
        return [each for each in self.cursors() if each.ring.mailbox == mailbox]

    def left_of(self, mailbox: str, most: int = 10) -> list[Left]:
        """The latest ended connections of a mailbox, newest first, as far as they are remembered."""
        return [left for left in reversed(self._left) if left.mailbox == mailbox][:most]

    def add(self, connection: Connection) -> None:
        connection.since = self._wall()
        spread = random.uniform(1 - _LIFE_SPREAD, 1 + _LIFE_SPREAD)  # noqa: S311 - no secret
        connection.ends_at = self.now() + self._life_s() * spread
        # Connections are spread over the slots, and each slot gets a heartbeat once a period.
        connection.slot = self._next_slot
        self._next_slot = (self._next_slot + 1) % HEARTBEAT_S
        self._slots[connection.slot].add(connection)
        self.count += 1
        self._connections[connection.transport_name].inc()
        self._connects[connection.transport_name].inc()

    def discard(self, connection: Connection) -> None:
        self.behind.discard(connection)
        slot = self._slots[connection.slot]
        if connection not in slot:
            return
        slot.remove(connection)
        self.count -= 1
        self._connections[connection.transport_name].dec()
        code = connection.code or 1006
        self._metrics.edge_closes[close_of(code)].inc()
        until = self._wall()
        for cursor in connection.cursors:
            self._remember(cursor, until, code)
        if connection.code == codes.TOO_SLOW:
            self._metrics.edge_slow_cuts.inc()

    def withdrew(self, cursor: Cursor, code: int) -> None:
        """Remember that a connection goes on without this mailbox."""
        self._remember(cursor, self._wall(), code)

    def _remember(self, cursor: Cursor, until: float, code: int) -> None:
        connection = cursor.connection
        name = connection.transport_name
        self._left.append(Left(cursor.ring.mailbox, name, connection.since, until, cursor.position, code))

    async def broadcast(self, frame: Frame) -> None:
        """Write one frame of the edge itself to every connection that is open now, in pieces: mails come meanwhile."""
        connections = self.everybody()
        for start in range(0, len(connections), _PIECE):
            for connection in connections[start : start + _PIECE]:
                connection.say(frame)
            await asyncio.sleep(0)

    def end_all(self, code: int) -> None:
        """Close every connection at once, and refuse new ones from now on."""
        self.closing = True
        for connection in self.everybody():
            connection.end(code)
            if connection.transport is not None:
                connection.transport.close()

    async def run(self) -> None:
        """Tick until cancelled."""
        garbage = Garbage()
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()
            self._ticked()
            garbage.grown(self.count)

    def tick(self) -> None:
        """Do what is due; called once a second."""
        wall, now = self._wall(), self.now()
        for transport, frames in self.frames.items():
            # Counted in plain numbers until now: a Counter would add a tenth to the cost of each write.
            self._frames[transport].inc(frames)
            self.frames[transport] = 0
        for slot in self._slots:
            for connection in [s for s in slot if s.identity.expires <= wall]:
                connection.end(codes.EXPIRED)
            for connection in [s for s in slot if s.ends_at <= now]:
                connection.end(codes.SHUTTING_DOWN)
        for connection in [s for s in self.behind if now - s.behind_since > _BACKED_UP_S]:
            connection.cut()
        self._beat = (self._beat + 1) % HEARTBEAT_S
        for connection in list(self._slots[self._beat]):
            connection.beat(HEARTBEAT)
        for connection in list(self._slots[(self._beat - _PONG_S) % HEARTBEAT_S]):
            connection.check_pong()
