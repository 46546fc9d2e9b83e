"""Clients for the edge's two transports, as a browser speaks them, written on raw sockets.

They keep what came, so that a test can say what a browser would have seen: nothing lost, nothing twice, in order.
"""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from tests.support.waiting import PATIENCE_S


@dataclass(slots=True)
class HandshakeRefused(Exception):
    """The handshake was answered with an HTTP status instead."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Frame:
    """One frame: its JSON, its bytes, and on SSE the ``id:`` line."""

    data: dict[str, Any]
    raw: bytes
    id: str | None = None

    @property
    def type(self) -> str:
        kind: str = self.data["type"]
        return kind


class _Client:
    """What both transports share: the socket, the head, and frames one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.headers: dict[str, str] = {}
        self.frames: list[Frame] = []
        self.code: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Hang up hard, as a laptop that is closed."""
        self.writer.transport.abort()

    async def _read_head(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                # A server that ends closes what it has just accepted: for a client the same as refused, or reset.
                raise ConnectionAbortedError("closed before it answered") from None
        status, *lines = head.decode().split("\r\n")
        for line in lines:
            name, _, value = line.partition(":")
            if name:
                self.headers[name.strip().lower()] = value.strip()
        return int(status.split()[1])

    async def _refusal(self, status: int) -> HandshakeRefused:
        length = int(self.headers.get("content-length", "0"))
        async with asyncio.timeout(PATIENCE_S):
            body = await self.reader.readexactly(length)
        self.drop()
        return HandshakeRefused(status, self.headers, body)

    async def _one(self) -> Frame | None:
        raise NotImplementedError

    async def frame(self, *, within_s: float = PATIENCE_S) -> Frame:
        """The next frame.

        Raises:
            EOFError: the connection has ended; ``code`` says how, if it was told.
            TimeoutError: nothing came.
        """
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with a frame.
        async with asyncio.timeout(within_s):
            frame = await self._one()
        if frame is None:
            raise EOFError
        self.frames.append(frame)
        return frame

    async def until(self, kind: str) -> Frame:
        """The next frame of a type; others before it are kept in ``frames``."""
        while (frame := await self.frame()).type != kind:
            continue
        return frame

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` events (frames that have a position)."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.frame()
            if "id" in frame.data:
                found.append(frame.data)
        return found

    async def end(self) -> int | None:
        """Read until the connection ends; return the code that was told."""
        try:
            while True:
                await self.frame()
        except EOFError:
            return self.code

    @property
    def position(self) -> str:
        """What a client keeps: the snapshot's position, then the id of each frame that has one."""
        for frame in reversed(self.frames):
            if "id" in frame.data:
                return str(frame.data["id"])
            if frame.type == "exmail.snapshot":
                return str(frame.data["data"]["position"])
        raise LookupError("no frame with a position")


class WsClient(_Client):
    """``/ws``."""

    async def _one(self) -> Frame | None:
        while True:
            try:
                first, second = await self.reader.readexactly(2)
                length = second & 0x7F
                if length == 126:
                    length = int.from_bytes(await self.reader.readexactly(2), "big")
                elif length == 127:
                    length = int.from_bytes(await self.reader.readexactly(8), "big")
                payload = await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            opcode = first & 0x0F
            if opcode == 8:
                self.code = int.from_bytes(payload[:2], "big")
                self.send(payload[:2], 8)
                return None
            if opcode == 9:
                self.send(payload, 10)
            elif opcode == 1:
                return Frame(orjson.loads(payload), payload)
            elif opcode == 10:
                return Frame({"type": "pong"}, payload)

    def send(self, payload: bytes, opcode: int = 1) -> None:
        """Send one masked frame."""
        mask = os.urandom(4)
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        length = len(payload)
        size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self.writer.write(bytes((0x80 | opcode,)) + size + mask + body)


class SseClient(_Client):
    """``/events``."""

    retry_ms: int | None = None
    empty_blocks = 0
    """Blocks without ``data:``, which some clients hand on as events."""
    _unchunked = b""
    _taken = 0

    async def _one(self) -> Frame | None:
        while True:
            try:
                block = await self._block()
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            fields: dict[str, bytes] = {}
            for line in block.rstrip(b"\n").split(b"\n"):
                name, _, value = line.partition(b":")
                fields[name.decode()] = value.removeprefix(b" ")
            if "retry" in fields:
                self.retry_ms = int(fields["retry"])
            if "data" not in fields:
                self.empty_blocks += 1
                continue
            data = orjson.loads(fields["data"])
            if data["type"] == "exmail.closing":
                self.code = data["data"]["code"]
            return Frame(data, fields["data"], fields["id"].decode() if "id" in fields else None)

    async def _block(self) -> bytes:
        """The next block; a proxy sends the stream in chunks, which may end anywhere.

        The stream of who is turned away has a length, behind which a proxy keeps the connection open.
        """
        if self.headers.get("transfer-encoding") != "chunked":
            if self._taken == int(self.headers.get("content-length", "-1")):
                raise asyncio.IncompleteReadError(b"", None)
            block = await self.reader.readuntil(b"\n\n")
            self._taken += len(block)
            return block
        while b"\n\n" not in self._unchunked:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            chunk = await self.reader.readexactly(size + 2)
            if not size:
                raise asyncio.IncompleteReadError(self._unchunked, None)
            self._unchunked += chunk[:-2]
        block, _, self._unchunked = self._unchunked.partition(b"\n\n")
        return block


async def _dial(
    url: str, path: str, headers: dict[str, str], local: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or 80, limit=2**22, local_addr=(local, 0) if local else None
    )
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in ({"Host": parts.netloc} | headers).items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


async def open_ws(
    url: str, path: str = "/ws", *, send: bytes = b"", local: str | None = None, **headers: str
) -> WsClient:
    """Open a WebSocket; ``send`` goes out right behind the handshake; ``local``: the address to come from.

    Raises:
        HandshakeRefused: no upgrade.
    """
    key = base64.b64encode(os.urandom(16)).decode()
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    reader, writer = await _dial(url, path, handshake | {n.replace("_", "-"): v for n, v in headers.items()}, local)
    writer.write(send)
    client = WsClient(reader, writer)
    status = await client._read_head()
    if status != 101:
        raise await client._refusal(status)
    return client


async def open_sse(url: str, path: str = "/events", *, local: str | None = None, **headers: str) -> SseClient:
    """Open an event stream, as an ``EventSource`` does; ``local``: the address to come from.

    Raises:
        HandshakeRefused: a status other than 200.
    """
    accept = {"Accept": "text/event-stream"}
    reader, writer = await _dial(url, path, accept | {n.replace("_", "-"): v for n, v in headers.items()}, local)
    client = SseClient(reader, writer)
    status = await client._read_head()
    if status != 200:
        raise await client._refusal(status)
    return client


OPENERS = {"websocket": open_ws, "sse": open_sse}
"""The two transports, for tests that hold for both."""


@dataclass(slots=True)
class Seen:
    """What one browser has seen over any number of connections."""

    ids: list[str] = field(default_factory=list)

    def take(self, client: _Client) -> None:
        self.ids += [str(frame.data["id"]) for frame in client.frames if "id" in frame.data]
