"""What this process knows of the journal, for a worker that begins to lead.

A Redis server that is used again after another had taken its place cannot tell that its data are old. Edges that
received positions in the meantime can. Commits are ordered, so the streams with the latest events are enough.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bridge.edge.tail import Tail
from bridge.journal.inquiry import Memory

_MOST: Final = 1000


class Recollection:
    """The latest streams, up to a bound, and the greatest generation with the number of its commits."""

    def __init__(self) -> None:
        # Those of lately and those of before. One that is heard of again stays where it is in the first: of thousands
        # that are heard of each second, to move each to the end would be most of the work.
        self._recent: dict[Tail, None] = {}
        self._former: dict[Tail, None] = {}
        self._generation = 0
        self._commits = 0

    def heard_of(self, tails: Collection[Tail]) -> None:
        """Note tails that have a new top, or were opened; not the canary's, for what Redis loses of it is no loss."""
        generation = max([tail.generation for tail in tails], default=0)
        if generation > self._generation:
            self._generation, self._commits = generation, 0
        self._recent.update(dict.fromkeys(tails))
        if len(self._recent) >= _MOST:
            self._former, self._recent = self._recent, {}

    def dropped(self, tail: Tail) -> None:
        """Forget a tail that has no connections any more."""
        self._recent.pop(tail, None)
        self._former.pop(tail, None)

    def counted(self, commits: int, generation: int) -> None:
        """Note how many commits the journal reports."""
        if generation > self._generation:
            self._generation, self._commits = generation, commits
        elif generation == self._generation:
            self._commits = max(self._commits, commits)

    def tell(self) -> Memory:
        """The greatest generation, and the positions received in it."""
        latest = [*(tail for tail in self._former if tail not in self._recent), *self._recent][-_MOST:]
        positions = {
            tail.mailbox: (position.epoch, position.seq)
            for tail in latest
            if tail.generation == self._generation and (position := tail.ahead or tail.position) is not None
        }
        return Memory(self._generation, self._commits, positions)
