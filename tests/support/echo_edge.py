"""``/echo`` on the real edge: says back what it hears, as the suites that try WebSocket servers want it.

The handshake, the handover of the socket, the frame reader and the connection are the edge's own. What differs:
messages may be long, each is sent back, and there is no mailbox behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from aiohttp import web

from bridge.access.access import Identity
from bridge.edge.frames import ws_frame
from bridge.edge.handover import take_socket
from bridge.edge.handshakes import websocket_accept
from bridge.edge.hub import Hub
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.edge.transport.wire import CLOSE, FrameReader, Message
from bridge.obs.metrics import Metrics

PATH = "/echo"
MOST = 16 * 2**20


class _EchoReader(FrameReader):
    """The edge's reader; a text or binary message is sent back before the edge sees it, and ignores it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: WebSocketConnection) -> None:
        super().__init__(most=MOST)
        self._connection = connection

    def feed(self, chunk: bytes) -> Iterator[Message]:
        for message in super().feed(chunk):
            if message.opcode < CLOSE:
                assert self._connection.transport is not None
                self._connection.transport.write(ws_frame(message.payload, message.opcode))
            yield message


async def _echo(request: web.Request) -> web.StreamResponse:
    accept = websocket_accept(request)
    transport, early = take_socket(request)
    nobody = Identity(("nobody@example.com",), None, frozenset(), time.time() + 3600)
    connection = WebSocketConnection(Hub(Metrics()), nobody)
    connection._reader = _EchoReader(connection)
    transport.set_protocol(connection)
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    connection.begin(transport)
    if early:
        connection.data_received(early)
    return web.Response(status=101)


def add_echo(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get(PATH, _echo, allow_head=False)
