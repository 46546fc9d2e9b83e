"""Answers that nobody takes: their connections end in time, whatever was asked, and nothing else is held up."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import pytest

from tests.support.browser_side import open_ws
from tests.support.stage import bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S

from .conftest import QUICK, ids

TIMEOUT_S = 1
AT_ONCE = 30


def asking(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n\r\n".encode()


async def _ask_and_not_take(url: str, request: bytes, drops: int) -> None:
    """Ask many times on one connection, take so many bytes now and then, and go when the other side ends it."""
    at = urlsplit(url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect((at.hostname, at.port))
        sock.setblocking(False)
        while True:
            try:
                sock.send(request)
            except BlockingIOError:
                pass
            except OSError:
                return
            if drops:
                try:
                    if not sock.recv(drops):
                        return
                except BlockingIOError:
                    pass
                except OSError:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("drops", [0, 2000], ids=["nothing", "in drops"])
@pytest.mark.parametrize("path", ["/client.js", "/history?limit=200"])
async def test_who_does_not_take_an_answer_is_closed(redis_url: str, path: str, drops: int) -> None:
    """Pipelined, without a pause, for as long as they are let; the browsers get their mails meanwhile."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, QUICK, BRIDGE_EDGE_REQUEST_TIMEOUT=str(TIMEOUT_S)) as (url, _),
        await open_ws(url, **bearer()) as browser,
    ):
        await writer.commit([mail(f"Z{number}", subject="x" * 10_000) for number in range(30)])
        await browser.events(30)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as attackers:
            for _ in range(AT_ONCE):
                attackers.create_task(_ask_and_not_take(url, asking(path) * 20, drops))
            await writer.commit([mail("M1")])
            assert ids(await browser.events(1)) == ["M1"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_body_is_not_inflated(redis_url: str, encoding: str) -> None:
    """It is passed over as it came, what is none of that kind, too: a small one could become a gigabyte."""
    async with running_edge(redis_url, QUICK) as (url, _):
        at = urlsplit(url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        body = b"nothing of the kind" * 1000
        head = f"POST /ticket HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Authorization: Bearer {token()}\r\n\r\n".encode() + body)
        answer = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 200")
        writer.write(asking("/unread"))
        answer = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)
        assert b"as_of" in answer
        writer.close()
