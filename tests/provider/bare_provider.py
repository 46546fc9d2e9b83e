"""A provider made of bare sockets: tests read each request and write each byte of the answer themselves.

It is not the project's simulator on purpose: here the test says what is on the wire, not a model of the provider.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from tests.support.waiting import PATIENCE_S


@dataclass
class Request:
    """One request, with the connection it came on."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]
    writer: asyncio.StreamWriter
    connection: int

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, *, status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        await self.send(head.encode() + body)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class BareProvider:
    """Requests to ``script`` paths are answered from there; those to listen wait in ``listens`` for the test."""

    script: dict[str, deque[bytes]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    listens: asyncio.Queue[Request] = field(default_factory=asyncio.Queue)
    silent: set[str] = field(default_factory=set)
    breaks_off: dict[str, int] = field(default_factory=dict)
    """Paths whose next so many requests are answered by a close."""
    endless: set[str] = field(default_factory=set)
    """Paths whose answer has no end."""
    dripping: set[str] = field(default_factory=set)
    """The same, a byte at a time."""
    raw: bytes | None = None
    """What every request but one for a token is answered with, before a close."""
    raw_token: bytes | None = None
    """The same for a token."""
    tokens: int = 0
    url: str = ""
    status: str = "200 OK"
    _connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def will_answer(self, path: str, *bodies: bytes) -> None:
        self.script.setdefault(path, deque()).extend(bodies)

    def calls(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    async def listen(self) -> Request:
        async with asyncio.timeout(PATIENCE_S):
            return await self.listens.get()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        self._writers.append(writer)
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
                body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
                request = Request(lines[0].split(" ")[1], headers, dict(parse_qsl(body)), writer, connection)
                self.requests.append(request)
                await self._answer(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request) -> None:
        if request.path == "/openapi/listen":
            self.listens.put_nowait(request)
        elif request.path in self.silent:
            pass
        elif self.breaks_off.get(request.path, 0):
            self.breaks_off[request.path] -= 1
            request.close()
        elif request.path in self.endless:
            await self._answer_without_end(request, b" " * 0x10000)
        elif request.path in self.dripping:
            await self._answer_without_end(request, b" ", pause_s=0.01)
        elif self.raw_token is not None and request.path == "/cgi-bin/token":
            await request.send(self.raw_token)
            request.close()
        elif self.raw is not None and request.path != "/cgi-bin/token":
            await request.send(self.raw)
            request.close()
        elif self.script.get(request.path):
            await request.answer(self.script[request.path].popleft(), status=self.status)
        elif request.path == "/cgi-bin/token":
            self.tokens += 1
            await request.answer(b'{"access_token":"token-%d","expires_in":86400}' % self.tokens)
        else:
            await request.answer(b'{"errcode":"1001","error":"the test did not expect this"}')

    async def _answer_without_end(self, request: Request, piece: bytes, *, pause_s: float = 0) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await request.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(pause_s)

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
