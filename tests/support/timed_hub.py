"""A hub whose time passes when the test says so, and connections whose other ends are plain sockets."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from bridge.access.access import Identity
from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.hub import Hub
from bridge.edge.tail import Tail
from bridge.events import Position
from bridge.journal.reader import Opened, UpstreamStatus
from bridge.obs.metrics import Metrics
from tests.support.waiting import PATIENCE_S

OPENED = Opened(
    mailbox="bob@gzdev.com",
    top=Position("abcdefgh", 0),
    unread=None,
    as_of=None,
    status="first",
    events=[],
    known=False,
    upstream=UpstreamStatus("connected", 1, ""),
)


class NoLoader:
    """Nobody here is too far behind for the ring."""

    def read_cold(self, cursor: Cursor) -> None:
        raise AssertionError(cursor.position)

    def deserted(self, tail: Tail) -> None:
        """It is the test's."""


@dataclass
class Rig:
    """A hub with a clock that the test moves, and connections whose other ends are plain sockets."""

    seconds: float = 1000.0
    life_s: float = 1e9
    peers: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.hub = Hub(self.metrics, life_s=lambda: self.life_s, clock=lambda: self.seconds, wall=lambda: self.seconds)
        self.tail = Tail("bob@gzdev.com", NoLoader())
        self.tail.adopt(OPENED)

    async def join(self, kind: type[Connection], *, expires: float = 1e12) -> tuple[Connection, socket.socket]:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.peers.append(theirs)
        connection = kind(self.hub, Identity(("bob@gzdev.com",), None, frozenset(), expires))
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
        connection.begin(transport)
        connection.follow(self.tail).begin(OPENED, None)
        await self.heard(theirs)
        return connection, theirs

    async def heard(self, peer: socket.socket) -> bytes:
        """What has come, at least one byte; empty when the connection has ended."""
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer, 1 << 20), PATIENCE_S)

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.seconds += 1
            self.hub.tick()
