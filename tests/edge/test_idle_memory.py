"""What a connection on which nothing happens takes: people have their mailbox open all day, by the ten thousand."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from bridge.edge.connection import Connection
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.edge.watch import IS_POSSIBLE
from tests.support.bare_edge import bare_edge, heard
from tests.support.stage import leading_writer

BEFORE, MORE = 64, 256
MOST_BYTES = 1800
"""Of what Python allocates; with it goes what the kernel has for a socket."""


@pytest.mark.skipif(not IS_POSSIBLE, reason="elsewhere asyncio's own transport stays")
@pytest.mark.parametrize("kind", [WebSocketConnection, SseConnection])
async def test_an_idle_connection_with_its_own_mailbox_takes_little(redis_url: str, kind: type[Connection]) -> None:
    """What it does not need while nothing happens is not there."""
    async with leading_writer(redis_url), bare_edge(redis_url) as edge:

        async def open_more(first: int, end: int) -> None:
            for number in range(first, end):
                mailbox = f"u{number}@gzdev.com"
                _, peer = await edge.join(await edge.open(mailbox), kind, mailbox=mailbox)
                await heard(peer, b"exmail.snapshot")
            gc.collect()

        await open_more(0, BEFORE)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await open_more(BEFORE, BEFORE + MORE)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert edge.hub.count == BEFORE + MORE
        assert (after - before) / MORE < MOST_BYTES
