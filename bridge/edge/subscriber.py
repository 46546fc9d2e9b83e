"""A browser connection: a cursor over its mailbox's entries, and a socket.

No task, queue or timer of its own. Frames are written straight to the transport while it takes them; a socket that
is backed up keeps its cursor where it is, and goes on when it has drained. Whoever stays backed up is cut, and
resume does the rest. Buffers are limited to nothing (``high=0``): asyncio then says at once that bytes are unsent.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from bridge.access import codes
from bridge.edge.frames import Delivery, Entry, Frame, Transport, snapshot_frame
from bridge.edge.tail import Tail
from bridge.events import Position
from bridge.journal.reader import Opened

if TYPE_CHECKING:
    from bridge.access.access import Identity
    from bridge.edge.audience import Audience

_CHUNK: Final = 65_536
_MOST_OWED: Final = 262_144


class Subscriber(asyncio.Protocol, ABC):
    """What both transports share. ``transport_name`` labels metrics; ``render`` picks the frame's bytes.

    ``address`` is what was asked for, which may come to mean another account than the tail's; ``opened_at`` the moment
    of the journal's answer, by Redis's clock in ms.
    """

    __slots__ = (
        "_owed",
        "_queue",
        "_reading",
        "_seq",
        "address",
        "audience",
        "behind_since",
        "code",
        "epoch",
        "identity",
        "live",
        "opened_at",
        "since",
        "slot",
        "tail",
        "transport",
    )
    transport_name: ClassVar[Transport]

    def __init__(
        self, audience: Audience, identity: Identity, tail: Tail, *, address: str = "", opened_at: int = 0
    ) -> None:
        self.audience = audience
        self.identity = identity
        self.tail = tail
        self.address = address or tail.mailbox
        self.opened_at = opened_at
        self.transport: asyncio.Transport | None = None
        self.epoch = ""
        # The cursor: in ``live`` while nothing waits, so that live delivery is one comparison; else -1 and in ``_seq``.
        self.live = -1
        self._seq = 0
        self.code = 0
        self.slot = 0
        self.since = 0.0
        self.behind_since = 0.0
        self._queue: deque[Frame | Entry] | None = None
        self._owed = 0
        self._reading = False

    # -- what the transports differ in

    @abstractmethod
    def render(self, frame: Frame | Entry) -> bytes:
        """The frame's bytes for this transport, built once for all who need them."""

    @abstractmethod
    def say_goodbye(self, code: int) -> None:
        """Write the last frame and begin to close."""

    @abstractmethod
    def check_pong(self) -> None:
        """The answer to the last heartbeat is due now."""

    # -- the life of a connection

    def begin(self, transport: asyncio.Transport, opened: Opened, after: Position | None) -> None:
        """The socket is ours: write the snapshot and what was missed, then join the tail."""
        self.transport = transport
        transport.set_write_buffer_limits(high=0)
        self.audience.add(self)
        self.tail.subscribers[self] = None
        self._restart(opened, after)

    def restart(self, opened: Opened) -> None:
        """A gap cannot be filled: a new snapshot, throw away what you have."""
        self._restart(opened, None)

    def _restart(self, opened: Opened, after: Position | None) -> None:
        self._hold()
        frame = _snapshot_of(opened, after)
        assert frame.position is not None
        self.epoch, self._seq = frame.position.epoch, frame.position.seq
        self._owed = 0
        self._queue = deque((frame,))
        if opened.status == "resumed" and after is not None:
            self._queue.extend(entries_of(opened, after))
        self.pump()

    @property
    def caught_up(self) -> bool:
        """Nothing is waiting for this connection."""
        return self.live == self.tail.top

    @abstractmethod
    def deliver(self, delivery: Entry | Delivery) -> None:
        """Take entries that were just appended to the tail. The hot path: one comparison, one write."""

    def _wait_or_catch_up(self, delivery: Entry | Delivery) -> None:
        if self.code:
            return
        if self.behind_since or self._queue is not None or self._reading:
            self._owed += sum(len(entry.payload) for entry in delivery.entries)
            if self._owed > _MOST_OWED:
                self.cut()
        else:
            self.pump()

    def say(self, frame: Frame) -> None:
        """Write a frame of the edge itself, after what is waiting."""
        if self.transport is None or self.code:
            return
        if self.behind_since or self._queue is not None:
            if self._queue is None:
                self._queue = deque()
            self._queue.append(frame)
        else:
            self.transport.write(self.render(frame))

    def beat(self, frame: Frame) -> None:
        """Write a heartbeat, unless bytes are waiting anyway."""
        if self.transport is not None and not self.behind_since and not self.code:
            self.transport.write(self.render(frame))

    def pump(self) -> None:
        """Write what is due, as long as the socket takes it."""
        self._hold()
        while not self.behind_since and self.transport is not None and not self._reading and not self.code:
            frames = self._next_frames()
            if not frames:
                if not self._reading and self.epoch == self.tail.epoch:
                    self.live = self._seq
                return
            self.transport.write(b"".join([self.render(frame) for frame in frames]))
            self.audience.frames[self.transport_name] += len(frames)

    def _hold(self) -> None:
        """Live delivery ends until nothing waits any more."""
        if self.live >= 0:
            self._seq, self.live = self.live, -1

    def _next_frames(self) -> list[Frame | Entry]:
        """Take up to a chunk of what is due and move the cursor over it."""
        if self._queue is not None:
            frames = self._from_queue(self._queue)
            if not self._queue:
                self._queue = None
            return frames
        entries = self.tail.after(self.epoch, self._seq)
        if entries is None:
            ahead = self.epoch == self.tail.epoch and self._seq > (self.tail.top or 0)
            if not ahead:
                self._reading = True
                self.audience.read_for(self)
            # Ahead of the ring: another edge's event, which this one has not heard of yet.
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
        """Take the journal's answer to ``read_for``: what stands after ``asked``."""
        self._reading = False
        if self.transport is None:
            return
        if asked != self.position:
            # A new snapshot was written meanwhile; the answer belongs to what it threw away.
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

    # -- asyncio.Protocol

    def pause_writing(self) -> None:
        self._hold()
        self.behind_since = self.audience.now()
        self.audience.behind.add(self)

    def resume_writing(self) -> None:
        self.behind_since = 0.0
        self.audience.behind.discard(self)
        if not self.code:
            self.pump()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._hold()
        self.transport = None
        self._queue = None
        self.audience.discard(self)
        self.tail.subscribers.pop(self, None)


def entries_of(opened: Opened, after: Position) -> list[Entry]:
    """The events of a resumed opening as entries: they follow each other from ``after`` on.

    Made once an answer: all who share it share the entries, and the bytes that are built of them.
    """
    entries: list[Entry] | None = opened.shared.get("entries")
    if entries is None:
        epoch = after.epoch.encode()
        entries = [Entry(epoch, after.seq + number, event) for number, event in enumerate(opened.events, 1)]
        opened.shared["entries"] = entries
    return entries


def _snapshot_of(opened: Opened, after: Position | None) -> Frame:
    frame: Frame | None = opened.shared.get(after)
    if frame is None:
        frame = opened.shared[after] = snapshot_frame(opened, after=after)
    return frame
