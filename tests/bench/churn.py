"""``python -m tests.bench.churn``: connections that come and go, and what an edge's memory says to it.

Each goes by a close, a reset, or in the middle of its handshake. The resident memory of the edge is printed meanwhile;
flat is what is promised.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import socket
import struct
import time

import jwt

from tests.bench.stage import Process, edge, facts, valkey

SECRET = "x" * 32
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
MAILBOXES = 5000


def request(number: int) -> bytes:
    """A handshake by one of the two transports, with a token of its own."""
    claims = {"sub": f"user{number % MAILBOXES}@gzdev.com", "exp": int(time.time()) + 3600, "n": number}
    token = jwt.encode(claims, SECRET, "HS256")
    path, kind = ("/ws", UPGRADE) if number % 2 else ("/events", "Accept: text/event-stream\r\n")
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{kind}\r\n".encode()


async def visit(port: int, number: int) -> None:
    """Come, and go in one of three ways."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{2 + number % 200}", 0))
        writer.write(request(number))
        if number % 3:
            async with asyncio.timeout(30):
                await reader.readuntil(b"exmail.snapshot")
        if number % 3 == 1:
            # Reset: what is unsent is thrown away.
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


async def come_and_go(port: int, connections: int, at_once: int, edge: Process) -> None:
    numbers = itertools.count()
    began = time.monotonic()

    async def visitor() -> None:
        for number in numbers:
            if number >= connections:
                return
            await visit(port, number)
            if (number + 1) % (connections // 10) == 0:
                print(f"{number + 1:>9,}  {edge.rss_kb / 1024:6.1f} MB  {time.monotonic() - began:5.0f} s", flush=True)

    await asyncio.gather(*(visitor() for _ in range(at_once)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=300_000)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args()
    print(facts())
    with valkey() as (server, _), edge(server.tcp_url) as (process, port):
        asyncio.run(come_and_go(port, options.connections, options.at_once, process))


if __name__ == "__main__":
    main()
