"""A place in one mailbox's entries; what comes after it is written to the cursor's connection.

Live, resumed and slow connections are one mechanism. While the transport takes bytes, frames are written straight to
it; while it is backed up, the cursor stays where it is. A cursor that is too far behind for the ring reads the journal.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection
from typing import Final, Protocol

from bridge.access.access import Identity
from bridge.edge.frames import Delivery, Entry, Frame, Transport, snapshot_frame, snapshot_payload
from bridge.events import Position
from bridge.journal.reader import Opened

_CHUNK: Final = 65_536
_MOST_OWED: Final = 262_144


class Ring(Protocol):
    """The recent entries of one mailbox, and the cursors over them. ``top`` is the seq of the last entry."""

    mailbox: str
    epoch: str
    top: int | None

    @property
    def cursors(self) -> Collection[Cursor]:
        """Those that have joined, in this order."""

    def join(self, cursor: Cursor) -> None:
        """Deliver to this one, too, from now on."""

    def leave(self, cursor: Cursor) -> None:
        """No more; nothing happens if it is not among them."""

    def after(self, epoch: str, seq: int) -> list[Entry] | None:
        """Entries after a place; ``None`` if the ring does not reach back that far."""

    def read_for(self, cursor: Cursor) -> None:
        """Read the journal on behalf of a cursor; :meth:`Cursor.read` gets the answer."""


class Sink(Protocol):
    """The connection that a cursor writes to; see :class:`bridge.edge.connection.Connection`."""

    identity: Identity
    transport: asyncio.Transport | None
    since: float
    behind_since: float
    code: int
    cursors: tuple[Cursor, ...]
    frames: dict[Transport, int]

    @property
    def transport_name(self) -> Transport:
        """The transport's name, as metrics have it."""

    def render(self, frame: Frame | Entry) -> bytes:
        """The frame's bytes for this transport."""

    def write_live(self, data: bytes) -> None:
        """Write where nothing is unsent."""

    def expires_in(self) -> int:
        """Seconds until the credential expires."""

    def withdraw(self, cursor: Cursor, code: int) -> None:
        """Stop following the mailbox of one cursor."""

    def end(self, code: int) -> None:
        """Close with a code."""

    def cut(self) -> None:
        """Close without a close code."""


class Cursor(ABC):
    """A place in a ring: everything up to it has been written.

    ``address`` is the address that was asked for; it may come to mean another account than the ring's. ``opened_at``:
    when the journal answered, epoch ms of Redis's clock. ``after``: where it will resume. ``told``: that, as text; a
    connection whose frames have the positions of several mailboxes keeps it up to date.
    """

    __slots__ = (
        *("_owed", "_queue", "_reading", "_seq", "address", "connection", "epoch", "live", "opened_at", "ring", "told"),
    )

    def __init__(
        self, connection: Sink, ring: Ring, *, address: str = "", opened_at: int = 0, after: Position | None = None
    ) -> None:
        self.connection = connection
        self.ring = ring
        self.address = address or ring.mailbox
        self.opened_at = opened_at
        self.told = b"" if after is None else str(after).encode()
        self.epoch = ""
        # The place. While nothing waits it is in ``live``, so that live delivery is one comparison; otherwise ``live``
        # is -1 and the place is in ``_seq``.
        self.live = -1
        self._seq = 0
        self._queue: deque[Frame | Entry] | None = None
        self._owed = 0
        self._reading = False

    @abstractmethod
    def deliver(self, delivery: Entry | Delivery) -> None:
        """Take entries that were just appended to the ring. The hot path: one comparison, one write."""

    def begin(self, opened: Opened, after: Position | None) -> None:
        """Write the snapshot and what was missed, then join the ring."""
        self.ring.join(self)
        self._restart(opened, after)

    def restart(self, opened: Opened) -> None:
        """Write a new snapshot, because a gap cannot be filled; the client drops what it has."""
        self._restart(opened, None)

    def leave(self) -> list[Frame]:
        """Leave the ring; return the edge's own frames that still waited, which concern no single mailbox."""
        self.hold()
        queue, self._queue = self._queue, None
        self.ring.leave(self)
        return [frame for frame in queue or () if isinstance(frame, Frame) and frame.position is None]

    def end(self, code: int) -> None:
        """End following this mailbox; if the connection has no other, it ends too."""
        self.connection.withdraw(self, code)

    def render(self, frame: Frame | Entry) -> bytes:
        """The bytes of a frame that is written now, behind all that was rendered before."""
        return self.connection.render(frame)

    def _restart(self, opened: Opened, after: Position | None) -> None:
        self.hold()
        frame = _snapshot_of(opened, after, self.connection)
        assert frame.position is not None
        self.epoch, self._seq = frame.position.epoch, frame.position.seq
        self._owed = 0
        self._queue = deque((frame,))
        if opened.status == "resumed" and after is not None:
            self._queue.extend(entries_of(opened, after))
        self.pump()

    @property
    def caught_up(self) -> bool:
        """Whether everything has been written."""
        return self.live == self.ring.top

    def _wait_or_catch_up(self, delivery: Entry | Delivery) -> None:
        if self.connection.code:
            return
        if self.connection.behind_since or self._queue is not None or self._reading:
            self._owed += sum(len(entry.payload) for entry in delivery.entries)
            if sum([each._owed for each in self.connection.cursors]) > _MOST_OWED:
                self.connection.cut()
        else:
            self.pump()

    def say(self, frame: Frame) -> None:
        """Write a frame of the edge itself, after what is waiting."""
        connection = self.connection
        if connection.transport is None or connection.code:
            return
        if connection.behind_since or self._queue is not None:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(frame)
        else:
            connection.transport.write(connection.render(frame))

    def pump(self) -> None:
        """Write what is due, as long as the socket takes bytes."""
        self.hold()
        connection = self.connection
        while not (connection.behind_since or connection.transport is None or self._reading or connection.code):
            frames = self._next_frames()
            if not frames:
                if not self._reading and self.epoch == self.ring.epoch:
                    self.live = self._seq
                return
            connection.transport.write(b"".join([self.render(frame) for frame in frames]))
            connection.frames[connection.transport_name] += len(frames)

    def hold(self) -> None:
        """Stop live delivery until nothing waits any more."""
        if self.live >= 0:
            self._seq, self.live = self.live, -1

    def _next_frames(self) -> list[Frame | Entry]:
        """Return up to a chunk of what is due, and move the cursor past it."""
        if self._queue is not None:
            frames = self._from_queue(self._queue)
            if not self._queue:
                self._queue = None
            return frames
        entries = self.ring.after(self.epoch, self._seq)
        if entries is None:
            ahead = self.epoch == self.ring.epoch and self._seq > (self.ring.top or 0)
            if not ahead:
                self._reading = True
                self.ring.read_for(self)
            # Ahead of the ring: another edge delivered an event that this one has not received yet.
            return []
        due: list[Frame | Entry] = []
        size = 0
        for entry in entries:
            due.append(entry)
            size += len(entry.payload)
            self._seq = entry.seq
            if size >= _CHUNK:
                return due
        self._owed = 0
        return due

    def _from_queue(self, queue: deque[Frame | Entry]) -> list[Frame | Entry]:
        frames: list[Frame | Entry] = []
        size = 0
        while queue and size < _CHUNK:
            frame = queue.popleft()
            if isinstance(frame, Entry):
                self._seq = frame.seq
            frames.append(frame)
            size += len(frame.payload)
        return frames

    @property
    def position(self) -> Position:
        """The last event that was written to the transport."""
        return Position(self.epoch, self._seq if self.live < 0 else self.live)

    def read(self, opened: Opened, asked: Position) -> None:
        """Take the journal's answer to ``read_for``: what comes after ``asked``."""
        self._reading = False
        if self.connection.transport is None or self not in self.ring.cursors:
            return
        if asked != self.position:
            # A new snapshot was written meanwhile; this answer continues the one before it.
            self.pump()
            return
        if opened.status != "resumed":
            self._restart(opened, None)
            return
        self._queue = self._queue or deque()
        self._queue.extend(entries_of(opened, asked))
        if not self._queue:
            self._queue = None
        self.pump()


def entries_of(opened: Opened, after: Position) -> list[Entry]:
    """The events of a resumed opening as entries, numbered from ``after`` on.

    They are made once for each answer; all who share the answer share the entries, and the bytes built from them.
    """
    entries: list[Entry] | None = opened.shared.get("entries")
    if entries is None:
        epoch = after.epoch.encode()
        entries = [Entry(epoch, seq, seq, event) for seq, event in enumerate(opened.events, after.seq + 1)]
        opened.shared["entries"] = entries
    return entries


def _snapshot_of(opened: Opened, after: Position | None, connection: Sink) -> Frame:
    shared: tuple[Position, bytes] | None = opened.shared.get(after)
    if shared is None:
        shared = opened.shared[after] = snapshot_payload(opened, after=after)
    return snapshot_frame(*shared, session=connection.identity.session_name, expires_in=connection.expires_in())
