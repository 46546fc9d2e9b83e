"""A browser connection: a socket, its back-pressure, and how it ends. It knows no mailbox; its cursors do.

No task, queue or timer of its own. The high-water mark is 0, so asyncio calls ``pause_writing`` as soon as a byte is
unsent; then the cursors stay where they are, and go on when the socket has drained. Whoever stays backed up is cut, and
resume does the rest.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from bridge.access import codes
from bridge.access.access import Identity
from bridge.edge.cursor import Cursor, Ring
from bridge.edge.frames import Entry, Frame, Transport
from bridge.edge.places import Place


class Registry(Protocol):
    """Where connections are known; ``behind`` are those with unsent bytes, ``frames`` counts what was written."""

    behind: set[Connection]
    frames: dict[Transport, int]

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> float:
        """Epoch seconds, by the clock that ends connections."""

    def retry_ms(self, code: int) -> int:
        """How long a client that is closed with this code should wait."""

    def add(self, connection: Connection) -> None:
        """A connection has begun."""

    def discard(self, connection: Connection) -> None:
        """A connection has ended."""


class Connection(asyncio.Protocol, ABC):
    """What both transports share. ``transport_name`` labels metrics; ``render`` picks a frame's bytes.

    ``code`` is 0 until it ends; ``since`` epoch seconds, ``behind_since`` monotonic seconds, 0 while all is sent;
    ``ends_at`` monotonic seconds. ``place`` is given back at its end.
    """

    __slots__ = (
        "behind_since",
        "code",
        "cursors",
        "ends_at",
        "frames",
        "hub",
        "identity",
        "place",
        "since",
        "slot",
        "transport",
    )
    transport_name: ClassVar[Transport]

    def __init__(self, hub: Registry, identity: Identity, place: Place | None = None) -> None:
        self.hub = hub
        self.frames = hub.frames
        self.identity = identity
        # A tuple, because ten thousand connections have one cursor each.
        self.cursors: tuple[Cursor, ...] = ()
        self.transport: asyncio.Transport | None = None
        self.code = 0
        self.slot = 0
        self.since = 0.0
        self.behind_since = 0.0
        self.ends_at = 0.0
        self.place = place

    # -- what the transports differ in

    cursor_type: ClassVar[type[Cursor]]
    """What follows a mailbox on a connection of this kind."""

    @abstractmethod
    def render(self, frame: Frame | Entry) -> bytes:
        """The frame's bytes for this transport, built once for all who need them."""

    @abstractmethod
    def say_goodbye(self, code: int) -> None:
        """Write the last frame and begin to close."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """What the client sends."""

    @abstractmethod
    def check_pong(self) -> None:
        """The answer to the last heartbeat is due now."""

    # -- the life of a connection

    def begin(self, transport: asyncio.Transport) -> None:
        """The socket is ours."""
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.hub.add(self)

    def follow(self, ring: Ring, *, address: str = "", opened_at: int = 0) -> Cursor:
        """A cursor of this connection over a mailbox's entries; it has yet to begin."""
        cursor = self.cursor_type(self, ring, address=address, opened_at=opened_at)
        self.cursors = (*self.cursors, cursor)
        return cursor

    def expires_in(self) -> int:
        """How many seconds the credential lasts from now on; the connection ends then."""
        return max(0, int(self.identity.expires - self.hub.wall()))

    def say(self, frame: Frame) -> None:
        """Write a frame of the edge itself, after what is waiting: behind the first cursor's snapshot."""
        if self.cursors:
            self.cursors[0].say(frame)

    def beat(self, frame: Frame) -> None:
        """Write a heartbeat, unless bytes are waiting anyway."""
        if self.transport is not None and not self.behind_since and not self.code:
            self.transport.write(self.render(frame))

    # -- endings

    def end(self, code: int) -> None:
        """Close with a code, telling the client where that is possible."""
        if self.code:
            return
        self.code = code
        self._hold()
        if self.behind_since or self.transport is None:
            self._abort()
        else:
            self.say_goodbye(code)

    def cut(self) -> None:
        """Close a socket that is backed up; it cannot be told."""
        if not self.code:
            self.code = codes.TOO_SLOW
        self._hold()
        self._abort()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _hold(self) -> None:
        for cursor in self.cursors:
            cursor.hold()

    # -- asyncio.Protocol

    def pause_writing(self) -> None:
        self._hold()
        self.behind_since = self.hub.now()
        self.hub.behind.add(self)

    def resume_writing(self) -> None:
        self.behind_since = 0.0
        self.hub.behind.discard(self)
        if not self.code:
            for cursor in self.cursors:
                cursor.pump()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._hold()
        self.transport = None
        self.hub.discard(self)
        if self.place is not None:
            self.place.give_back()
        # They know us; letting go of them leaves no circle for Python's collector.
        cursors, self.cursors = self.cursors, ()
        for cursor in cursors:
            cursor.leave()
