"""A mailbox that nobody follows any more costs nothing: its channel is given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.bare_edge import STILL, BareEdge, bare_edge, heard
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import ANN, BOB, leading_writer, mail
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("by_each_channel")
SOON = replace(STILL, idle_s=0.02)


def followed(edge: BareEdge) -> list[str]:
    return sorted(tail.mailbox for tail in edge.feed.tails())


async def test_who_leaves_takes_the_channel_along_and_may_come_back(redis_url: str) -> None:
    """Of two who look at one mailbox only the second does; whoever comes again is served as before."""
    async with leading_writer(redis_url) as (writer, redis), bare_edge(redis_url, SOON) as edge:
        _, first = await edge.join(await edge.open())
        _, second = await edge.join(await edge.open())
        _, other = await edge.join(await edge.open(ANN), mailbox=ANN)
        first.close()
        other.close()
        await until(lambda: followed(edge) == [BOB])
        second.close()
        await until(lambda: followed(edge) == [])

        async def is_given_up() -> bool:
            # What is left are the channels of the process itself.
            names = [*await redis.pubsub_channels(), *await redis.pubsub_shardchannels()]
            return not any(b"@" in name for name in names)

        await until(is_given_up)
        _, again = await edge.join(await edge.open())
        await writer.commit([mail("Z1")])
        assert b"Z1" in await heard(again, b"Z1")


async def test_who_left_while_redis_was_away_is_not_kept(redis_url: str) -> None:
    """The next connection to Redis may subscribe once more; the mailbox goes all the same."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, _),
        bare_edge(way.url, SOON) as edge,
    ):
        _, first = await edge.join(await edge.open())
        _, second = await edge.join(await edge.open(ANN), mailbox=ANN)
        way.cut()
        first.close()
        await until(lambda: followed(edge) == [ANN] and edge.feed.ready() is None)
        await writer.commit([mail("Z1", mailbox=ANN)])
        assert b"Z1" in await heard(second, b"Z1")
