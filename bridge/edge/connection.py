"""A browser connection: a socket, its back-pressure, and how it ends. It knows no mailbox; its cursors do.

It has no task, queue or timer of its own. The high-water mark is 0, so asyncio calls ``pause_writing`` as soon as a
byte is unsent; the cursors then stay where they are and continue when the socket has drained. A connection that stays
backed up is cut; its client comes back and resumes.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar, Protocol

from bridge.access import codes
from bridge.access.access import Identity
from bridge.edge.cursor import Cursor, Ring
from bridge.edge.frames import Entry, Frame, Transport, withdrawn_frame
from bridge.edge.kernel import descriptor_of
from bridge.edge.lean import LeanTransport, lean_transport
from bridge.edge.places import Place
from bridge.edge.watch import Watch
from bridge.events import Position


class Registry(Protocol):
    """Where connections are registered. ``behind``: those with unsent bytes; ``frames``: how many were written;
    ``watch`` tells when their sockets can be read and written."""

    behind: set[Connection]
    frames: dict[Transport, int]
    watch: Watch

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

    def renewed(self, connection: Connection) -> None:
        """A connection has another credential, which ends at another time."""

    def withdrew(self, cursor: Cursor, code: int) -> None:
        """A connection goes on without this one of its mailboxes."""


class Connection(asyncio.Protocol, ABC):
    """What both transports share. ``transport_name`` labels metrics; ``render`` picks a frame's bytes.

    ``code`` is the close code, 0 until the connection ends. ``descriptor``: the socket's, -1 if only its transport may
    write to it. ``since``: epoch seconds. ``behind_since``: monotonic
    seconds since when bytes are unsent, 0 if none are. ``ends_at``: monotonic seconds. ``place`` is given back when the
    connection ends.
    """

    __slots__ = (
        "behind_since",
        "code",
        "cursors",
        "descriptor",
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
        self.descriptor = -1
        self.code = 0
        self.slot = 0
        self.since = 0.0
        self.behind_since = 0.0
        self.ends_at = 0.0
        self.place = place

    # -- where the transports differ

    cursor_type: ClassVar[type[Cursor]]
    """The kind of cursor that connections of this kind have."""
    many_cursor_type: ClassVar[type[Cursor]]
    """The kind of cursor where a connection follows all mailboxes of its credential."""

    @abstractmethod
    def render(self, frame: Frame | Entry) -> bytes:
        """The frame's bytes for this transport; built once, shared by all connections."""

    @abstractmethod
    def say_goodbye(self, code: int) -> None:
        """Write the last frame and begin to close."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take bytes that the client sent."""

    @abstractmethod
    def check_pong(self) -> None:
        """Called when the answer to the last heartbeat is due."""

    # -- the life of a connection

    def begin(self, transport: asyncio.Transport) -> None:
        """Start on a socket that is ours now; ``transport`` may be left for a leaner one."""
        lean = transport if isinstance(transport, LeanTransport) else lean_transport(transport, self, self.hub.watch)
        if lean is not None:
            self.transport, self.descriptor = lean, lean.descriptor
        else:
            transport.set_write_buffer_limits(high=0)
            self.transport, self.descriptor = transport, descriptor_of(transport)
        self.hub.add(self)

    def follow(
        self,
        ring: Ring,
        *,
        address: str = "",
        opened_at: int = 0,
        after: Position | None = None,
        many: bool = False,
    ) -> Cursor:
        """Return a new cursor of this connection over a mailbox's entries; the caller begins it, after all others."""
        kind = self.many_cursor_type if many else self.cursor_type
        cursor = kind(self, ring, address=address, opened_at=opened_at, after=after)
        self.cursors = (*self.cursors, cursor)
        return cursor

    def expires_in(self) -> int:
        """Seconds until the credential expires, and the connection with it."""
        return max(0, int(self.identity.expires - self.hub.wall()))

    def say(self, frame: Frame) -> None:
        """Write a frame of the edge itself, behind whatever the first cursor still has to write."""
        if self.cursors:
            self.cursors[0].say(frame)

    def write_live(self, data: bytes) -> None:
        """Write where nothing is unsent: at once what the kernel takes, past the transport, which keeps the rest.

        Whoever calls this must know that nothing waits in the transport: a live cursor does.
        """
        try:
            sent = os.write(self.descriptor, data)
        except OSError:
            # Full or broken, which the transport finds, too; or not ours to write to.
            sent = 0
        if sent < len(data) and self.transport is not None:
            self.transport.write(data[sent:])

    def beat(self, frame: Frame) -> None:
        """Write a heartbeat, unless bytes are unsent anyway."""
        if self.transport is not None and not self.behind_since and not self.code:
            self.write_live(self.render(frame))

    def renew(self, identity: Identity) -> None:
        """Go on with what the credential proves now; end if that is another person or session.

        What was proved first decides how old the claim to the address is: if the address changes hands, this ends.
        """
        before = self.identity
        if (identity.mailboxes, identity.session) == (before.mailboxes, before.session):
            self.identity = replace(identity, issued=before.issued)
            self.hub.renewed(self)
        else:
            self.end(codes.EXPIRED)

    # -- endings

    def withdraw(self, cursor: Cursor, code: int) -> None:
        """Stop following one mailbox and say so; the others go on.

        Whoever has no other, or was told to go, loses the connection.
        """
        if self.code or cursor not in self.cursors:
            return
        rest = tuple([each for each in self.cursors if each is not cursor])
        if not rest or code == codes.KICKED:
            self.end(code)
            return
        waiting = cursor.leave()
        self.hub.withdrew(cursor, code)
        self.cursors = rest
        for frame in (*waiting, withdrawn_frame(cursor.ring.mailbox, code)):
            self.say(frame)

    def end(self, code: int) -> None:
        """Close with a code; the client learns it unless its socket is backed up."""
        if self.code:
            return
        self.code = code
        self._hold()
        if self.behind_since or self.transport is None:
            self._abort()
        else:
            self.say_goodbye(code)

    def cut(self) -> None:
        """Close a socket that is backed up; no close code can reach the client."""
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
        # The kernel gives the number to somebody else as soon as the socket is closed.
        self.transport, self.descriptor = None, -1
        self.hub.discard(self)
        if self.place is not None:
            self.place.give_back()
        # The cursors refer to this connection: dropping them leaves no reference cycle behind.
        cursors, self.cursors = self.cursors, ()
        for cursor in cursors:
            cursor.leave()
