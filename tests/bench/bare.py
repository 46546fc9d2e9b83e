"""``python bare.py PORT REDIS_PORT CHANNEL``: the same as floor.c in Python, as one would write it in an afternoon.

aiohttp answers the handshake; then a frame that is built once is given to each transport. No token, no position, no
history, no bound on what a slow browser may be owed.
"""

from __future__ import annotations

import asyncio
import sys

import hiredis
from aiohttp import web

_WEBSOCKET, _SSE = 0, 1


class Subscribers:
    """Who gets what: transports by their number, those of each kind apart."""

    def __init__(self) -> None:
        self.transports: tuple[dict[int, asyncio.Transport], dict[int, asyncio.Transport]] = ({}, {})

    def deliver(self, to: bytes, body: bytes) -> None:
        """Write a frame to all (``*``) or to one."""
        for kind, transports in enumerate(self.transports):
            if not transports:
                continue
            frame = _frame(kind, body)
            if to == b"*":
                for transport in transports.values():
                    transport.write(frame)
            elif (transport := transports.get(int(to))) is not None:  # type: ignore[assignment]
                transport.write(frame)

    async def hold(self, request: web.Request, kind: int) -> None:
        """Keep a connection until it is cut."""
        number = int(request.query["u"])
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self.transports[kind][number] = transport
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            del self.transports[kind][number]


def _frame(kind: int, body: bytes) -> bytes:
    if kind == _SSE:
        event = b"data: %b\n\n" % body
        return b"%x\r\n%b\r\n" % (len(event), event)  # a chunk, as aiohttp would write it
    return b"\x81\x7e%b%b" % (len(body).to_bytes(2, "big"), body)


class Feed(asyncio.Protocol):
    """What Redis publishes, read by hiredis as it comes."""

    def __init__(self, subscribers: Subscribers, channel: str) -> None:
        self._subscribers = subscribers
        self._channel = channel
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(f"SUBSCRIBE {self._channel}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (message := self._reader.gets()) is not False:
            if message[0] == b"message":
                to, _, body = message[2].partition(b"\n")
                self._subscribers.deliver(to, body)


async def serve(port: int, redis_port: int, channel: str) -> None:
    subscribers = Subscribers()

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(compress=False)
        await response.prepare(request)
        await subscribers.hold(request, _WEBSOCKET)
        return response

    async def sse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await subscribers.hold(request, _SSE)
        return response

    await asyncio.get_running_loop().create_connection(lambda: Feed(subscribers, channel), "127.0.0.1", redis_port)
    app = web.Application()
    app.add_routes([web.get("/ws", websocket), web.get("/sse", sse)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
