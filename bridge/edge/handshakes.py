"""How each transport begins: what a request must have, and the bytes with which it is let in or turned away.

A script does not see the status with which a WebSocket or EventSource was refused, and an EventSource that is answered
with anything but 200 never comes back. So these two are refused in their own protocols.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import ClassVar, Final, Protocol

from aiohttp import hdrs

from bridge.access import codes
from bridge.access.asking import Asking
from bridge.access.refused import Refused
from bridge.edge.connection import Connection
from bridge.edge.frames import closing_payload, sse_block, sse_retry, ws_farewell
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SSE_HEAD: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
)


class Handshake(Protocol):
    """One request for a connection. ``after``: what it resumes from, as the client wrote it.

    ``origin``: of the page that may read the answer. ``sees_codes``: whether a refusal can be told in the transport's
    own protocol; otherwise it is an answer with a status, as to any request.
    """

    kind: ClassVar[type[Connection]]
    asking: Asking
    after: str | None
    origin: str | None
    sees_codes: bool

    def welcome(self, retry_ms: Callable[[int], int]) -> bytes:
        """What is written before the first frame. ``retry_ms`` says when to come back, 0: after a cut that nobody
        announced."""

    def farewell(self, code: int, retry_ms: int) -> bytes:
        """The whole answer to whoever is turned away."""


class WebSocketHandshake:
    """``GET /ws``.

    Raises:
        Refused: this is not a WebSocket handshake.
    """

    __slots__ = ("_head", "after", "asking", "origin", "sees_codes")
    kind: ClassVar[type[Connection]] = WebSocketConnection

    def __init__(self, asking: Asking, origin: str | None, cors: Mapping[str, str]) -> None:
        self.asking = asking
        self.origin = origin
        self.sees_codes = True
        self._head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {websocket_accept(asking)}\r\n\r\n"
        ).encode()
        self.after = asking.query.get("after")

    def welcome(self, retry_ms: Callable[[int], int]) -> bytes:
        return self._head

    def farewell(self, code: int, retry_ms: int) -> bytes:
        return self._head + ws_farewell(code, retry_ms)


class StreamHandshake:
    """``GET /events``, for ``EventSource``."""

    __slots__ = ("_cors", "after", "asking", "origin", "sees_codes")
    kind: ClassVar[type[Connection]] = SseConnection

    def __init__(self, asking: Asking, origin: str | None, cors: Mapping[str, str]) -> None:
        self.asking = asking
        self.origin = origin
        self._cors = cors
        self.sees_codes = "text/event-stream" in asking.headers.get(hdrs.ACCEPT, "")
        self.after = asking.headers.get("Last-Event-ID") or asking.query.get("after")

    def welcome(self, retry_ms: Callable[[int], int]) -> bytes:
        return self._written({}) + sse_retry(retry_ms(0))

    def farewell(self, code: int, retry_ms: int) -> bytes:
        body = sse_retry(retry_ms) + sse_block(closing_payload(code, retry_ms))
        return self._written({hdrs.CONTENT_LENGTH: str(len(body)), "X-Frame-Options": "DENY"}) + body

    def _written(self, more: Mapping[str, str]) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in (*self._cors.items(), *more.items())]
        return f"{_SSE_HEAD}{''.join(lines)}\r\n".encode()


def websocket_accept(request: Asking) -> str:
    """Answer the handshake's key (RFC 6455, 4.2).

    Raises:
        Refused: this is not a WebSocket handshake.
    """
    headers = request.headers
    connection = {part.strip().lower() for part in headers.get(hdrs.CONNECTION, "").split(",")}
    if headers.get(hdrs.UPGRADE, "").lower() != "websocket" or "upgrade" not in connection:
        raise Refused(400, codes.BAD_REQUEST, "request", "not a WebSocket handshake; behind nginx: Upgrade headers")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise Refused(400, codes.BAD_REQUEST, "request", "WebSocket version 13 is needed")
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        whole = False
    if not whole:
        raise Refused(400, codes.BAD_REQUEST, "request", "Sec-WebSocket-Key is not 16 bytes of base64")
    digest = hashlib.sha1(key.encode() + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
