"""What this process knows of the journal, for a worker that begins to lead.

A Redis server that is used again after another had taken its place cannot tell that its data are old. Edges that
received positions in the meantime can. Commits are ordered, so the streams with the latest events are enough.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from bridge.edge.tail import Tail
from bridge.events import CANARY
from bridge.journal.inquiry import Memory

_MOST: Final = 1000


class Recollection:
    """The latest streams, up to a bound, and the greatest generation with the number of its commits."""

    def __init__(self) -> None:
        # Not a dict: to find its first key it walks over all that were taken out before.
        self._tails: OrderedDict[Tail, None] = OrderedDict()
        self._generation = 0
        self._commits = 0

    def heard_of(self, tail: Tail) -> None:
        """Note a tail that has a new top, or was opened."""
        if tail.mailbox == CANARY:
            return  # what Redis loses of it is no loss
        if tail.generation > self._generation:
            self._generation, self._commits = tail.generation, 0
        tails = self._tails
        if tail in tails:
            tails.move_to_end(tail)
            return
        tails[tail] = None
        if len(tails) > _MOST:
            tails.popitem(last=False)

    def dropped(self, tail: Tail) -> None:
        """Forget a tail that has no connections any more."""
        self._tails.pop(tail, None)

    def counted(self, commits: int, generation: int) -> None:
        """Note how many commits the journal reports."""
        if generation > self._generation:
            self._generation, self._commits = generation, commits
        elif generation == self._generation:
            self._commits = max(self._commits, commits)

    def tell(self) -> Memory:
        """The greatest generation, and the positions received in it."""
        positions = {
            tail.mailbox: (position.epoch, position.seq)
            for tail in self._tails
            if tail.generation == self._generation and (position := tail.ahead or tail.position) is not None
        }
        return Memory(self._generation, self._commits, positions)
