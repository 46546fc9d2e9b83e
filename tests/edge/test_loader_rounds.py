"""Questions to the journal come in rounds, and new channels are subscribed before each."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from bridge.edge.cursor import Cursor
from bridge.edge.frames import Entry
from bridge.edge.loader import Loader
from bridge.edge.tail import Tail
from bridge.journal.reader import Opened
from tests.support.bare_edge import STILL, bare_edge
from tests.support.stage import BOB, leading_writer
from tests.support.waiting import until


class Restless(Tail):
    """Whenever it has been repaired, something may be missing again."""

    def __init__(self, loader: Loader) -> None:
        super().__init__(BOB, loader)
        self.loader = loader
        self.repairs = 0

    def repair(self, opened: Opened, entries: list[Entry], looked_at: Collection[Cursor] = ()) -> None:
        super().repair(opened, entries, looked_at)
        self.repairs += 1
        self.loader.look_again(self)


async def test_questions_that_never_end_keep_nobody_from_his_channel(redis_url: str) -> None:
    """None of them fails, and there is always another."""
    rounds = 0

    async def subscribe_new() -> None:
        nonlocal rounds
        rounds += 1

    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        loader = Loader(edge.reader, edge.standings, edge.metrics, look=edge.rounds.look, pace=STILL)
        tail = Restless(loader)
        tail.adopt((await edge.open()).opened)
        loader.look_again(tail)
        asking = asyncio.create_task(loader.run(subscribe_new))
        try:
            await until(lambda: tail.repairs >= 5)
            assert rounds >= tail.repairs
        finally:
            asking.cancel()
