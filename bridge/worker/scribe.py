"""Stores changes of the mirror piece by piece, and keeps the leader's knowledge of it up to date."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridge.journal.calls import Advance, Call
from bridge.journal.held import Held
from bridge.journal.writer import Writer
from bridge.worker.known import Known
from bridge.worker.pieces import Piece


class CursorElsewhere(Exception):
    """The stored cursor is not the one this change started from: begin again from what is stored."""


class Scribe:
    """The only way a leader's parts change the mirror. Not to be used by several tasks at once.

    ``settled`` is waited for before an address changes hands.
    """

    def __init__(self, writer: Writer, known: Known, *, settled: Callable[[], Awaitable[None]]) -> None:
        self._writer = writer
        self._settled = settled
        self.known = known

    async def write(self, pieces: Sequence[Piece], *, ver: int | None, held: Held | None) -> None:
        """Store pieces in order; the last one moves the cursor to ``ver`` (``None``: it stays) and stores what is held.

        After a fault, what was stored before it is known to be stored. A piece without entries costs no call.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        known = self.known
        to_ver = None if ver is None or str(ver) == known.stored_ver else ver
        for number, piece in enumerate(pieces, 1):
            is_last = number == len(pieces)
            what_is_held = self._held_bytes(held) if is_last else None
            moves_to = to_ver if is_last else None
            if not piece.entries and what_is_held is None and moves_to is None:
                continue
            if piece.fresh or piece.moved:
                await self._settled()
            known.expect(piece.slaves, piece.slaves_removed)
            await self.commit(*piece.calls(known.stored_ver, moves_to, what_is_held))
            known.learn(piece)
            if is_last:
                known.now_held(held)
            if moves_to is not None:
                known.moved(moves_to)

    async def commit(self, *calls: Call) -> None:
        """Send calls; only the last one may compare the cursor.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        outcomes = await self._writer.commit(calls)
        if isinstance(calls[-1], Advance) and outcomes[-1].result == "cursor":
            raise CursorElsewhere("the stored Ver is not the one this change started from")

    def _held_bytes(self, held: Held | None) -> bytes | None:
        """As the journal stores it; ``None``: it has that already."""
        if held == self.known.held:
            return None
        return b"" if held is None else held.as_json()
