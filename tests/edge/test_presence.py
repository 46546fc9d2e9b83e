"""Who has a browser open is told to the worker, for as long as it is open."""

from __future__ import annotations

import asyncio

from bridge.edge.presence import Presence
from tests.support.bare_edge import bare_edge
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import ANN, BOB, KEYS, leading_writer
from tests.support.waiting import until


async def test_presence_is_renewed_and_by_redis_own_clock(redis_url: str) -> None:
    """An entry that lapsed comes back without anybody leaving; a look that failed is made up for."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (_, redis),
        bare_edge(way.url) as edge,
    ):
        mailboxes = [BOB, ANN, *(f"u{number}@gzdev.com" for number in range(9))]
        for mailbox in mailboxes:
            await edge.join(await edge.open(mailbox), mailbox=mailbox)
        presence = Presence(edge.reader, edge.feed, look_s=0.01, renew_s=0.05, last_s=90)
        running = asyncio.create_task(presence.run())

        async def marked() -> bool:
            scores = await redis.zmscore(KEYS.online, mailboxes)
            seconds, _ = await redis.time()
            return all(score is not None and seconds + 80 < score <= seconds + 91 for score in scores)

        for _ in range(3):
            await until(marked)
            await redis.delete(KEYS.online)
        way.closed = True
        way.cut(but_pubsub=True)
        await redis.delete(KEYS.online)
        way.closed = False
        await until(marked)
        running.cancel()
