"""The registry of this process's browser connections, and the one timer that serves them.

The timer steps ten times a second, for all connections together. Each connection has its turn once a second, at which
it is looked whether its token has expired, and once in twenty-five seconds it gets a heartbeat and a ping. So a mail
waits for what is due to a few dozen connections, and not to a twenty-fifth of all.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bridge.access import codes
from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.frames import HEARTBEAT, Frame
from bridge.edge.slot import Slot
from bridge.edge.watch import Watch
from bridge.events import Position
from bridge.obs.garbage import Garbage
from bridge.obs.labels import Transport, close_of
from bridge.obs.metrics import Metrics

HEARTBEAT_S: Final = 25
_PONG_S: Final = 10
_BACKED_UP_S: Final = 30.0
STEPS: Final = 10
"""Of a second."""
_LATE_S: Final = 1.0
"""What was missed is made up for, unless it is more than this."""
_PIECE: Final = 500
_LEFT_MOST: Final = 4096
_LIFE_SPREAD: Final = 0.2
"""Lives differ by so much either way, so that those who came together do not leave together."""


@dataclass(frozen=True, slots=True)
class Left:
    """A connection that has ended, or goes on without the mailbox: the code that was told, and the last event written.

    Times in epoch seconds; ``opened_at`` and ``told`` as :class:`~bridge.edge.cursor.Cursor` has them.
    """

    mailbox: str
    transport: str
    opened_at: int
    told: bytes
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
        self.watch = Watch()
        self.now = clock
        self._life_s = life_s
        self._wall = wall
        self._metrics = metrics
        # One for each step of the period: the steps of the first second, of the next one, and so on.
        self._slots = [Slot() for _ in range(HEARTBEAT_S * STEPS)]
        self._added = 0
        self._left: deque[Left] = deque(maxlen=_LEFT_MOST)
        # Who comes first has his first turn after a whole period.
        self._step = STEPS
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
        return [each for slot in self._slots for each in slot.connections]

    def cursors(self) -> list[Cursor]:
        """The cursors of all open connections."""
        return [cursor for slot in self._slots for each in slot.connections for cursor in each.cursors]

    def cursors_in_pieces(self) -> Iterator[list[Cursor]]:
        """The same, some hundred at a time; between two pieces connections may come and go."""
        size = max(1, _PIECE * len(self._slots) // max(1, self.count))
        for first in range(0, len(self._slots), size):
            yield [
                cursor
                for slot in self._slots[first : first + size]
                for each in slot.connections
                for cursor in each.cursors
            ]

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
        # Connections are spread over the seconds of the period first, and over the steps of each second then.
        second, step = self._added % HEARTBEAT_S, self._added // HEARTBEAT_S % STEPS
        self._added += 1
        connection.slot = second * STEPS + step
        self._slots[connection.slot].add(connection)
        self.count += 1
        self._connections[connection.transport_name].inc()
        self._connects[connection.transport_name].inc()

    def discard(self, connection: Connection) -> None:
        self.behind.discard(connection)
        slot = self._slots[connection.slot].connections
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

    def renewed(self, connection: Connection) -> None:
        """Its credential ends at another time."""
        self._slots[connection.slot].note(connection)

    def withdrew(self, cursor: Cursor, code: int) -> None:
        """Remember that a connection goes on without this mailbox."""
        self._remember(cursor, self._wall(), code)

    def _remember(self, cursor: Cursor, until: float, code: int) -> None:
        connection = cursor.connection
        name, since = connection.transport_name, connection.since
        began = cursor.opened_at, cursor.told
        self._left.append(Left(cursor.ring.mailbox, name, *began, since, until, cursor.position, code))

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
        """Step until cancelled."""
        garbage = Garbage()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            for _ in range(STEPS):
                due = max(due + 1 / STEPS, loop.time() - _LATE_S)
                await asyncio.sleep(due - loop.time())
                self.step()
            self._ticked()
            garbage.grown(self.count)

    def tick(self) -> None:
        """All steps of a second at once."""
        for _ in range(STEPS):
            self.step()

    def step(self) -> None:
        """Do what is due; called ten times a second."""
        wall, now = self._wall(), self.now()
        slots, number = self._slots, self._step
        self._step = (number + 1) % len(slots)
        if not number % STEPS:
            self._count_frames()
            for connection in [s for s in self.behind if now - s.behind_since > _BACKED_UP_S]:
                connection.cut()
        for slot in slots[number % STEPS :: STEPS]:
            for connection in slot.due(wall, now):
                connection.end(codes.EXPIRED if connection.identity.expires <= wall else codes.SHUTTING_DOWN)
        for connection in list(slots[number].connections):
            connection.beat(HEARTBEAT)
        for connection in list(slots[(number - _PONG_S * STEPS) % len(slots)].connections):
            connection.check_pong()

    def _count_frames(self) -> None:
        for transport, frames in self.frames.items():
            # Counted in plain numbers until now: a Counter would add a tenth to the cost of each write.
            self._frames[transport].inc(frames)
            self.frames[transport] = 0
