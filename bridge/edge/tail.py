"""The recent entries of one mailbox, in a ring, and the cursors over them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final, Protocol

from bridge.edge.cursor import Cursor
from bridge.edge.frames import Delivery, Entry
from bridge.events import Position
from bridge.journal.reader import Opened

_RING: Final = 64
_PIECE: Final = 1000


class ColdReader(Protocol):
    """Reads the journal for cursors that are too far behind for the ring."""

    def read_cold(self, cursor: Cursor) -> None:
        """Read what comes after the cursor, and hand it over later."""

    def deserted(self, tail: Tail) -> None:
        """Nobody follows this mailbox any more."""


class Tail:
    """One mailbox on this edge. ``top`` is ``None`` until the journal has been read for the first time.

    ``doubted``: something may have been lost before that. ``generation``: the one that ``top`` belongs to. ``ahead``: a
    position received in that generation which the journal no longer knows.

    Ten thousand mailboxes have one connection each and nothing new. So there are lists only while something is in them,
    and a dict of cursors only for more than one.
    """

    __slots__ = (
        *("_cursors", "_epoch", "_fresh", "_ring", "ahead", "doubted", "epoch", "generation"),
        *("_loader", "idle_since", "mailbox", "opening", "top"),
    )

    def __init__(self, mailbox: str, loader: ColdReader) -> None:
        self.mailbox = mailbox
        self._loader = loader
        self.epoch = ""
        self._epoch = b""
        self.top: int | None = None
        self.generation = 0
        self.ahead: Position | None = None
        self.opening = 0
        self.doubted = False
        self.idle_since = 0.0
        self._cursors: Cursor | dict[Cursor, None] | None = None
        self._ring: list[Entry] | None = None
        self._fresh: Entry | list[Entry] | None = None

    @property
    def cursors(self) -> Collection[Cursor]:
        """The cursors over this mailbox, in the order in which they joined."""
        cursors = self._cursors
        if cursors is None:
            return ()
        return cursors if isinstance(cursors, dict) else (cursors,)

    @property
    def is_idle(self) -> bool:
        """Whether nobody follows it, or is about to."""
        return self._cursors is None and not self.opening

    def join(self, cursor: Cursor) -> None:
        """Deliver to this cursor, too, from now on."""
        cursors = self._cursors
        if cursors is None:
            self._cursors = cursor
        elif isinstance(cursors, dict):
            cursors[cursor] = None
        elif cursors is not cursor:
            self._cursors = {cursors: None, cursor: None}

    def leave(self, cursor: Cursor) -> None:
        """Deliver to this cursor no more; nothing happens if it has not joined."""
        cursors = self._cursors
        if isinstance(cursors, dict):
            cursors.pop(cursor, None)
            if len(cursors) == 1:
                [self._cursors] = cursors
        elif cursors is cursor:
            self._cursors = None
            self._loader.deserted(self)

    @property
    def position(self) -> Position | None:
        """The position of the last entry; ``None`` before the journal has been read."""
        return None if self.top is None else Position(self.epoch, self.top)

    def append(self, epoch: bytes, seq: int, event: bytes) -> bool:
        """Take a live entry; ``False`` if something is missing before it and the journal must be asked.

        Nothing is written yet: :meth:`flush` does that once for everything that one read brought.
        """
        entry = Entry(epoch, seq, seq, event)
        if self.top is None:
            # The journal has not answered yet; adopt() will drop what its answer contains.
            self._keep([entry])
            return True
        if epoch != self._epoch or seq > self.top + 1:
            return False
        if seq <= self.top:
            return True
        self.top = seq
        fresh = self._fresh
        if fresh is None:
            self._fresh = entry
        elif isinstance(fresh, list):
            fresh.append(entry)
        else:
            self._fresh = [fresh, entry]
        return True

    def flush(self) -> int:
        """Deliver what was appended to all cursors; return the number of entries."""
        fresh = self._fresh
        if fresh is None:
            return 0
        self._fresh = None
        delivery = Delivery(fresh) if isinstance(fresh, list) else fresh
        cursors = self._cursors
        if isinstance(cursors, dict) or self.opening or (cursors is not None and cursors.live != delivery.first - 1):
            self._keep(delivery.entries)
            self._deliver(delivery)
        else:
            # Nobody, or one who is live: he moves past what he is given, and nobody can ask for that later. Whether all
            # are, if there are several, is not looked at each time.
            self._ring = None
            if cursors is not None:
                cursors.deliver(delivery)
        return len(fresh) if isinstance(fresh, list) else 1

    def adopt(self, opened: Opened) -> bool:
        """Take the mailbox's position from an opening; ``False`` if it does not fit the live entries.

        The first answer sets ``top``. Later ones change nothing, because newer entries are about to arrive. If the
        pub/sub connection was lost before the first answer, entries newer than it may be lost.
        """
        if self.top is not None:
            return opened.top.epoch == self.epoch
        self._begin(opened)
        early, self._ring = self._ring, None
        complete = not self.doubted
        for entry in early or ():
            complete &= self.append(entry.epoch, entry.seq, entry.payload)
        self.flush()
        return complete

    def repair(self, opened: Opened, entries: list[Entry], looked_at: Collection[Cursor] = ()) -> None:
        """Close a gap with the journal's answer: all entries after ``top``, or a new beginning.

        A new beginning may belong to another person. Only the cursors in ``looked_at`` have been checked since it was
        stored, so only they restart with it; the others, which joined meanwhile, ask for themselves.
        """
        self.flush()
        if opened.status == "resumed" and opened.top.epoch == self.epoch:
            # Live entries may have arrived meanwhile; none is delivered twice.
            entries = [entry for entry in entries if self.top is not None and entry.seq > self.top]
            if entries:
                self.top = entries[-1].seq
                self._keep(entries)
                # The whole list that was read, which may be longer than the ring.
                self._deliver(Delivery(entries))
            return
        self._begin(opened)
        self._ring = None
        for cursor in list(self.cursors):
            if cursor in looked_at:
                cursor.restart(opened)
            else:
                cursor.pump()

    def behind(self, top: Position) -> bool:
        """Whether the journal has more of this epoch than the tail."""
        return self.top is not None and self.epoch == top.epoch and self.top < top.seq

    def end(self, code: int) -> None:
        """Close every connection: none of them may follow the mailbox any more."""
        for cursor in list(self.cursors):
            cursor.end(code)

    def _begin(self, opened: Opened) -> None:
        top = opened.top
        if opened.generation != self.generation:
            self.ahead = None
        elif opened.ahead and self.ahead is None:
            self.ahead = self.position
        self.epoch, self._epoch, self.top, self.generation = top.epoch, top.epoch.encode(), top.seq, opened.generation

    def after(self, epoch: str, seq: int) -> list[Entry] | None:
        """Entries after a cursor, oldest first; ``None`` if the ring does not reach back that far."""
        if epoch != self.epoch or self.top is None or seq > self.top:
            return None
        if seq == self.top:
            return []
        ring = self._ring or []
        first = ring[0].seq if ring else self.top + 1
        return None if seq + 1 < first else ring[seq + 1 - first :]

    def read_for(self, cursor: Cursor) -> None:
        """Read the journal for a cursor that the ring does not reach back to."""
        self._loader.read_cold(cursor)

    def forget(self) -> None:
        """Drop the ring if no cursor needs it, so that idle mailboxes cost no memory."""
        if not self._ring or self.opening or self.top is None:
            return
        if all(cursor.caught_up for cursor in self.cursors):
            self._ring = None

    def _deliver(self, delivery: Entry | Delivery) -> None:
        cursors = self._cursors
        if isinstance(cursors, dict):
            self._deliver_to(list(cursors), 0, delivery)
        elif cursors is not None:
            cursors.deliver(delivery)

    def _deliver_to(self, everybody: list[Cursor], start: int, delivery: Entry | Delivery) -> None:
        """Deliver in pieces: to fifteen thousand it takes a tenth of a second, and other mailboxes have mails too.

        Whoever got something newer in between has got this with it: a cursor knows its place.
        """
        if start:
            # A new beginning that was written in between is no place for what was before it.
            if delivery.entries[-1].epoch != self._epoch:
                return
            here = self.cursors
            piece = [cursor for cursor in everybody[start : start + _PIECE] if cursor in here]
        else:
            piece = everybody[:_PIECE]
        for cursor in piece:
            cursor.deliver(delivery)
        if len(everybody) > start + _PIECE:
            asyncio.get_running_loop().call_soon(self._deliver_to, everybody, start + _PIECE, delivery)

    def _keep(self, entries: list[Entry]) -> None:
        ring = self._ring
        if ring is None:
            self._ring = ring = []
        ring += entries
        if len(ring) > 2 * _RING:
            del ring[:-_RING]
