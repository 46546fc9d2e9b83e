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


async def test_who_stops_waiting_for_a_channel_does_so_alone(redis_url: str) -> None:
    """Several open one mailbox before its channel is confirmed; one hangs up, and the others come in."""
    async with leading_writer(redis_url) as (_, redis), bare_edge(redis_url) as edge:
        await redis.execute_command("CLIENT", "PAUSE", "500", "ALL")
        waiting = [asyncio.create_task(edge.open()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first, second = await asyncio.gather(*waiting[1:])
        assert first.tail is second.tail
        assert first.tail.opening == 2
        assert waiting[0].cancelled()
