"""Connections that come and go leave nothing in memory, though no collector looks for it."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.support.stage import leading_writer, running_edge, token
from tests.support.waiting import PATIENCE_S, until

from .conftest import QUICK

TIMES = 25
ROOMS = ("asyncio.", "aiohttp.", "bridge.")
BOUNDED = {"bridge.edge.hub.Left", "bridge.events.Position", "asyncio.events.TimerHandle"}
"""The last 4,096 that left are remembered, and timers that were cancelled go when they would have been due."""


def head(path: str, *lines: str, credential: str = "") -> bytes:
    bearer = [f"Authorization: Bearer {credential or token()}"]
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *bearer, *lines, "", ""]).encode()


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
STREAM = ("Accept: text/event-stream",)
VISITS = {
    "websocket": lambda: (head("/ws", *UPGRADE), b"exmail.snapshot"),
    "event stream": lambda: (head("/events", *STREAM), b"exmail.snapshot"),
    "refused websocket": lambda: (head("/ws", *UPGRADE, credential="x"), b"exmail.closing"),
    "refused event stream": lambda: (head("/events", *STREAM, credential="x"), b"exmail.closing"),
    "request": lambda: (head("/unread"), b"as_of"),
    "two requests": lambda: (head("/unread") + head("/client.js"), b"ExmailBridge"),
    "no request": lambda: (b"\x16\x03\x01\r\n\r\n", b"400"),
    "says nothing": lambda: (b"", b""),
}


def visit(url: str, sent: bytes, awaited: bytes) -> None:
    """Come, wait for that, and hang up; on a socket that is none of asyncio's."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname or "", at.port or 0), timeout=PATIENCE_S) as sock:
        sock.sendall(sent)
        got = b""
        while awaited not in got:
            piece = sock.recv(65_536)
            assert piece, got
            got += piece


def census() -> Counter[str]:
    """What there is of the loop's, aiohttp's and our own kinds; nobody collects meanwhile."""
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if kind.__module__.startswith(ROOMS))


@pytest.fixture
async def edge(redis_url: str) -> AsyncIterator[str]:
    async with leading_writer(redis_url), running_edge(redis_url, QUICK) as (url, _):
        yield url


@pytest.mark.parametrize("kind", VISITS)
async def test_who_came_and_went_leaves_nothing(edge: str, kind: str) -> None:
    """Neither a transport nor a handler, without any collection."""
    for _ in range(3):
        await asyncio.to_thread(visit, edge, *VISITS[kind]())
    gc.collect()
    gc.disable()
    try:
        before = census()
        for _ in range(TIMES):
            await asyncio.to_thread(visit, edge, *VISITS[kind]())

        def gone() -> bool:
            # What one round of the acceptor may still hold, and what other tasks make meanwhile.
            return not {name for name, n in (census() - before).items() if n >= TIMES // 2} - BOUNDED

        await until(gone)
    finally:
        gc.enable()
