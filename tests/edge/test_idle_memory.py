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
from tests.support.stage import leading_writer, mail

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


async def test_a_mail_that_was_written_leaves_nothing(redis_url: str) -> None:
    """Who is alone with his mailbox and has been written everything needs none of it again."""
    mailboxes = [f"u{number}@gzdev.com" for number in range(64)]
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        peers = [(await edge.join(await edge.open(each), mailbox=each))[1] for each in mailboxes]

        async def mails(number: int) -> None:
            await writer.commit([mail(f"Z{number}", mailbox=each, subject="x" * 2000) for each in mailboxes])
            for peer in peers:
                await heard(peer, b'"mail_id":"Z%d"' % number)
            gc.collect()

        await mails(1)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            await mails(2)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (after - before) / len(mailboxes) < 1000
