"""Whose connection fails in the midst of its beginning leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from bridge.edge.places import Limits, Places
from tests.support.bare_edge import STILL, bare_edge
from tests.support.doors import Doors
from tests.support.stage import ANN, BOB, leading_writer, token
from tests.support.waiting import PATIENCE_S, until

from .conftest import connect
from .test_doorway import ELSEWHERE, STREAM, UPGRADE, head


class Clock:
    """The clock that ends connections; it fails when it is asked for the ``fails_at``-th time, once."""

    def __init__(self) -> None:
        self.fails_at = 0

    def __call__(self) -> float:
        self.fails_at -= 1
        if not self.fails_at:
            raise RuntimeError("no time")
        return time.time()


@pytest.mark.parametrize("lane", [b"", ELSEWHERE], ids=["short way", "aiohttp"])
@pytest.mark.parametrize("fails_at", [1, 2, 3], ids=["at the registration", "at the first", "at the second"])
async def test_who_cannot_begin_leaves_nothing(redis_url: str, transport: str, lane: bytes, fails_at: int) -> None:
    """Neither an end of his socket that nobody makes, nor his place, nor his mailboxes: they are given up like any
    that nobody follows, and serve whoever comes next."""
    wall, places = Clock(), Places(lambda: Limits(connections=1), now=lambda: 0.0)
    claims = f"Authorization: Bearer {token(mailboxes=[ANN])}\r\n"
    path, lines = {"websocket": ("/ws", UPGRADE), "sse": ("/events", STREAM)}[transport]
    async with (
        leading_writer(redis_url),
        bare_edge(redis_url, replace(STILL, idle_s=0.02), wall=wall) as edge,
        Doors(edge, places).opened() as url,
    ):
        at = urlsplit(url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        wall.fails_at = fails_at
        writer.write(lane + head(f"{path}?mailbox=*", claims + lines))
        try:
            await asyncio.wait_for(reader.read(), PATIENCE_S)
        except ConnectionError:
            # What was unsent is lost with it.
            pass
        writer.close()
        assert wall.fails_at <= 0
        await until(lambda: not edge.feed.tails())
        assert (places.taken, edge.hub.count) == (0, 0)
        async with await connect(url, transport, mailbox=BOB) as other:
            assert (await other.frame()).type == "exmail.snapshot"
