"""Clients that open connections and do not come to the point: each is closed in time, and browsers live on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from bridge.journal.writer import Writer
from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until

from .conftest import QUICK, ids

TIMEOUT_S = 1
AT_ONCE = 100

UNREAD = b"GET /unread HTTP/1.1\r\nHost: x\r\n\r\n"


def ticket(framing: bytes) -> bytes:
    """Asks for a ticket with a body, which nobody reads."""
    return b"POST /ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n%b\r\n\r\n" % (token().encode(), framing)


ATTACKS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "says nothing": lambda: (b"", b""),
    "half a head": lambda: (b"GET /ws HTTP/1.1\r\nHost: x\r\n", b""),
    "a head, byte by byte": lambda: (b"GET /events HTTP/1.1\r\n", b"X"),
    "headers without an end": lambda: (b"GET /events HTTP/1.1\r\n", b"A: b\r\n"),
    "empty lines": lambda: (b"", b"\r\n"),
    "a body that does not come": lambda: (ticket(b"Content-Length: 1000"), b""),
    "a body, byte by byte": lambda: (ticket(b"Content-Length: 1000000"), b"x"),
    "chunks without an end": lambda: (ticket(b"Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
    "a next request that does not come": lambda: (UNREAD, b""),
    "a next request, byte by byte": lambda: (UNREAD + b"GET /un", b"x"),
}
"""What is sent at once, and what over and over then."""


async def _hold_open(url: str, first: bytes, again: bytes) -> None:
    """Keep a connection as long as the other side lets us."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        with suppress(ConnectionError):
            writer.write(first)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        if not await reader.read(65536):
                            return
                writer.write(again)
                await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def _browsers(url: str, writer: Writer) -> AsyncIterator[Callable[[], object]]:
    """Two that are open already; calling what is given has each get one more mail."""
    async with await open_ws(url, **bearer()) as first, await open_sse(url, **bearer()) as second:
        sent = 0

        async def are_well() -> None:
            nonlocal sent
            sent += 1
            await writer.commit([mail(f"Z{sent}", sent)])
            for client in (first, second):
                assert ids(await client.events(1)) == [f"Z{sent}"]

        yield are_well


@pytest.mark.parametrize("attack", ATTACKS)
async def test_who_does_not_come_to_the_point_is_closed(redis_url: str, attack: str) -> None:
    """A hundred at once, for as long as they are let; the browsers get their mails before, meanwhile and after."""
    first, again = ATTACKS[attack]()
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, QUICK, BRIDGE_EDGE_REQUEST_TIMEOUT=str(TIMEOUT_S)) as (url, _),
        _browsers(url, writer) as are_well,
    ):
        await are_well()  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as attackers:
            for _ in range(AT_ONCE):
                attackers.create_task(_hold_open(url, first, again))
            await are_well()  # type: ignore[misc]
        await are_well()  # type: ignore[misc]


async def test_a_kept_connection_may_be_used_again(redis_url: str) -> None:
    """The bound is on waiting: a proxy that asks again in time keeps its connection over many requests."""
    async with (
        leading_writer(redis_url),
        running_edge(redis_url, BRIDGE_EDGE_REQUEST_TIMEOUT=str(TIMEOUT_S)) as (url, _),
    ):
        at, loop = urlsplit(url), asyncio.get_running_loop()
        ask = b"GET /unread HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n\r\n" % token().encode()
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        began = asked_at = loop.time()

        async def asked_for_long() -> bool:
            nonlocal reader, writer, began, asked_at
            try:
                writer.write(ask)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
                await reader.readuntil(b"}")
            except (OSError, asyncio.IncompleteReadError):
                # Only who did not ask in time, because this process stood still, begins anew.
                assert loop.time() - asked_at > TIMEOUT_S / 2
                reader, writer = await asyncio.open_connection(at.hostname, at.port)
                began = asked_at = loop.time()
                return False
            asked_at = loop.time()
            # Where its Redis stood still an edge says 503, and keeps the connection all the same.
            assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
            return asked_at - began > 2 * TIMEOUT_S

        await until(asked_for_long)
        writer.close()
