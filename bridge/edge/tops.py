"""Compare the positions of open mailboxes with the journal, at intervals.

A lost message shows as a gap only when another one follows it, and a lost one about an account never does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final

from bridge.edge.loader import Loader
from bridge.edge.portions import portions
from bridge.edge.recollection import Recollection
from bridge.edge.rounds import Rounds
from bridge.edge.tail import Tail
from bridge.journal.errors import JournalError
from bridge.journal.reader import Reader

_BATCH: Final = 128


class Tops:
    """Compares every ``every_s`` seconds; ``tails`` gives those that are followed here."""

    def __init__(
        self,
        reader: Reader,
        loader: Loader,
        rounds: Rounds,
        recollection: Recollection,
        *,
        tails: Callable[[], Collection[Tail]],
        every_s: float,
    ) -> None:
        self._reader = reader
        self._loader = loader
        self._rounds = rounds
        self._recollection = recollection
        self._tails = tails
        self._every_s = every_s

    async def run(self) -> None:
        """Compare until cancelled."""
        compared_at = None
        while True:
            await asyncio.sleep(self._every_s)
            try:
                commits, generation = await self._reader.written()
            except JournalError:
                continue
            self._recollection.counted(commits, generation)
            known: list[Tail] = []
            async for some in portions(self._tails()):
                for tail in some:
                    tail.forget()
                known += [tail for tail in some if tail.top is not None]
            # A kick does not count as a commit, so this does not depend on the commits.
            self._rounds.all()
            if commits == compared_at:
                # Nothing was written since the last comparison, so nothing can have been lost.
                continue
            if await self._compared(known):
                compared_at = commits

    async def _compared(self, tails: list[Tail]) -> bool:
        """Compare these; whether the journal answered to the end."""
        for start in range(0, len(tails), _BATCH):
            batch = tails[start : start + _BATCH]
            mailboxes = [tail.mailbox for tail in batch]
            try:
                tops, states = await self._reader.tops(mailboxes), await self._reader.states(mailboxes)
            except JournalError:
                return False
            for tail, top, state in zip(batch, tops, states, strict=True):
                if state != "open":
                    self._loader.look_again(tail)
                elif top != tail.position:
                    self._loader.gap(tail, "top")
        return True
