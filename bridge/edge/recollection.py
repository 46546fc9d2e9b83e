"""What this process was given by the journal, for a worker that begins to lead.

A server that is used again after another had taken its place does not know itself that it went back; whoever was given
positions meanwhile does. Commits are in one order, so the streams that were heard of last are enough.
"""

from __future__ import annotations

from typing import Final

from bridge.edge.tail import Tail
from bridge.journal.inquiry import Memory

_MOST: Final = 1000


class Recollection:
    """The streams heard of last, bounded, and the greatest generation with the number of its commits."""

    def __init__(self) -> None:
        self._tails: dict[Tail, None] = {}
        self._generation = 0
        self._commits = 0

    def heard_of(self, tail: Tail) -> None:
        """A tail has a new top, or was opened."""
        if tail.generation > self._generation:
            self._generation, self._commits = tail.generation, 0
        self._tails.pop(tail, None)
        self._tails[tail] = None
        if len(self._tails) > _MOST:
            del self._tails[next(iter(self._tails))]

    def dropped(self, tail: Tail) -> None:
        """Nobody looks at a tail any more; what it was given is not kept for nobody."""
        self._tails.pop(tail, None)

    def counted(self, commits: int, generation: int) -> None:
        """The journal said how many commits there were."""
        if generation > self._generation:
            self._generation, self._commits = generation, commits
        elif generation == self._generation:
            self._commits = max(self._commits, commits)

    def tell(self) -> Memory:
        """The greatest generation, and what was given of it."""
        positions = {
            tail.mailbox: (position.epoch, position.seq)
            for tail in self._tails
            if tail.generation == self._generation and (position := tail.ahead or tail.position) is not None
        }
        return Memory(self._generation, self._commits, positions)
