"""The recent entries of one mailbox, in a ring, and the cursors that stand in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from bridge.edge.cursor import Cursor
from bridge.edge.frames import Delivery, Entry
from bridge.events import Position
from bridge.journal.reader import Opened

_RING: Final = 64


class ColdReader(Protocol):
    """Reads the journal for cursors that are too far behind for the ring."""

    def read_cold(self, cursor: Cursor) -> None:
        """Give the cursor what stands after it, in a while."""


class Tail:
    """One mailbox on this edge. ``top`` is ``None`` until the journal was read for the first time.

    ``doubted``: something may have been lost before that. ``generation`` is the one that ``top`` belongs to, ``ahead``
    a position that was given in it and that the journal does not know any more.
    """

    __slots__ = (
        *("_epoch", "_fresh", "_ring", "ahead", "doubted", "epoch", "cursors", "generation"),
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
        self.cursors: dict[Cursor, None] = {}
        self.opening = 0
        self.doubted = False
        self.idle_since = 0.0
        self._ring: list[Entry] = []
        self._fresh: list[Entry] = []

    @property
    def position(self) -> Position | None:
        """The last entry's position; ``None`` before the journal was read."""
        return None if self.top is None else Position(self.epoch, self.top)

    def append(self, epoch: bytes, seq: int, event: bytes) -> bool:
        """Take a live entry; ``False`` if something is missing before it (then ask the journal).

        Nothing is written yet: :meth:`flush` does that once for all that one read brought.
        """
        entry = Entry(epoch, seq, event)
        if self.top is None:
            # The journal has not answered yet; adopt() sorts out what it already gave.
            self._ring.append(entry)
            return True
        if epoch != self._epoch or seq > self.top + 1:
            return False
        if seq <= self.top:
            return True
        self.top = seq
        self._fresh.append(entry)
        return True

    def flush(self) -> int:
        """Give what was appended to all cursors; return how many entries that were."""
        entries = self._fresh
        if not entries:
            return 0
        self._fresh = []
        self._keep(entries)
        delivery = entries[0] if len(entries) == 1 else Delivery(entries)
        for cursor in list(self.cursors):
            cursor.deliver(delivery)
        return len(entries)

    def adopt(self, opened: Opened) -> bool:
        """Learn from an opening where the mailbox stands; ``False`` if that does not fit what came live.

        The first answer sets ``top``. Later ones change nothing: what they know beyond it is on its way. A connection
        that was lost between the question and its answer may have lost what is newer than the answer.
        """
        if self.top is not None:
            return opened.top.epoch == self.epoch
        self._begin(opened)
        early, self._ring = self._ring, []
        complete = not self.doubted
        for entry in early:
            complete &= self.append(entry.epoch, entry.seq, entry.payload)
        self.flush()
        return complete

    def repair(self, opened: Opened, entries: list[Entry], looked_at: Collection[Cursor] = ()) -> None:
        """Close a gap with what the journal gave: all entries after ``top``, or a new beginning.

        A new beginning may be another person's: it is shown to those who were ``looked_at`` since; others, who came
        meanwhile, ask for it each.
        """
        self.flush()
        if opened.status == "resumed" and opened.top.epoch == self.epoch:
            # Live entries may have come meanwhile; what they brought is not given twice.
            entries = [entry for entry in entries if self.top is not None and entry.seq > self.top]
            if entries:
                self.top = entries[-1].seq
                self._keep(entries)
                # The list that was read, not the ring: it may hold more than the ring does.
                delivery = Delivery(entries)
                for cursor in list(self.cursors):
                    cursor.deliver(delivery)
            return
        self._begin(opened)
        self._ring = []
        for cursor in list(self.cursors):
            if cursor in looked_at:
                cursor.restart(opened)
            else:
                cursor.pump()

    def behind(self, top: Position) -> bool:
        """Whether the journal has more of this epoch than the tail."""
        return self.top is not None and self.epoch == top.epoch and self.top < top.seq

    def end(self, code: int) -> None:
        """Close every connection; the mailbox is not theirs to follow any more."""
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
        first = self._ring[0].seq if self._ring else self.top + 1
        return None if seq + 1 < first else self._ring[seq + 1 - first :]

    def read_for(self, cursor: Cursor) -> None:
        """The ring does not reach back to a cursor: the journal does."""
        self._loader.read_cold(cursor)

    def forget(self) -> None:
        """Drop the ring when nobody is behind: idle mailboxes cost nothing."""
        if not self._ring or self.opening or self.top is None:
            return
        if all(cursor.caught_up for cursor in self.cursors):
            self._ring = []

    def _keep(self, entries: list[Entry]) -> None:
        self._ring += entries
        if len(self._ring) > 2 * _RING:
            del self._ring[:-_RING]
