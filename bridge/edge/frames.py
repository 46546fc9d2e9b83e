"""Bytes that are ready for a socket.

They are built once for each entry and transport, when the first connection needs them; all others share them.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from bridge.access import codes
from bridge.edge.transport import wire
from bridge.events import Position, embedded, to_json
from bridge.journal.reader import Opened, UpstreamStatus
from bridge.obs.labels import Transport as Transport

_head_of_two_bytes = struct.Struct("!BBH").pack


def ws_frame(payload: bytes, opcode: int = wire.TEXT) -> bytes:
    """One whole, unmasked WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65536:
        return _head_of_two_bytes(0x80 | opcode, 126, length) + payload
    return bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big") + payload


def ws_close(code: int) -> bytes:
    """A close frame with a code and its reason."""
    return ws_frame(code.to_bytes(2, "big") + codes.REASONS.get(code, "").encode(), wire.CLOSE)


def sse_block(payload: bytes, position: Position | None = None) -> bytes:
    """One event of an event stream. JSON has no raw line breaks, so one ``data:`` line holds it."""
    if position is None:
        return b"data: " + payload + b"\n\n"
    return b"id: " + str(position).encode() + b"\ndata: " + payload + b"\n\n"


def sse_retry(milliseconds: int) -> bytes:
    """The ``retry:`` line: how long an ``EventSource`` waits before it comes back. A block must follow it.

    Alone in a block it would reach users of httpx-sse and sseclient as an event without data.
    """
    return b"retry: %d\n" % milliseconds


class Frame:
    """A frame of the edge itself: its payload, and its bytes for each transport.

    The bytes are built when the first connection of a transport needs them: ``for_websocket or websocket()``.
    ``position`` goes into the SSE ``id:`` line; heartbeats and upstream frames have none.
    """

    __slots__ = ("for_sse", "for_websocket", "payload", "position")

    def __init__(self, payload: bytes, position: Position | None = None) -> None:
        self.payload = payload
        self.position = position
        self.for_websocket: bytes | None = None
        self.for_sse: bytes | None = None

    def websocket(self) -> bytes:
        self.for_websocket = frame = ws_frame(self.payload)
        return frame

    def sse(self) -> bytes:
        self.for_sse = block = sse_block(self.payload, self.position)
        return block


class Entry(msgspec.Struct, eq=False, gc=False):
    """An event with its place in the mailbox's stream, and its bytes for each transport.

    Most reads bring one event for a mailbox, so an entry also serves as a :class:`Delivery` of one: its seq is both
    ``first`` and ``last``. A struct, because one is made for every event.
    """

    epoch: bytes
    first: int
    last: int
    payload: bytes
    for_websocket: bytes | None = None
    for_sse: bytes | None = None
    data_block: bytes | None = None

    @property
    def seq(self) -> int:
        return self.last

    @property
    def entries(self) -> list[Entry]:
        return [self]

    def websocket(self) -> bytes:
        self.for_websocket = frame = ws_frame(self.payload)
        return frame

    def sse(self) -> bytes:
        self.for_sse = block = b"id: %b-%d\ndata: %b\n\n" % (self.epoch, self.last, self.payload)
        return block

    def data(self) -> bytes:
        """The event on SSE without its ``id:`` line, for connections that write one of their own before it."""
        self.data_block = block = sse_block(self.payload)
        return block


class Delivery:
    """Consecutive entries, for cursors right before ``first``. Their bytes are joined once for each transport."""

    __slots__ = ("entries", "first", "for_sse", "for_websocket", "last")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.first = entries[0].first
        self.last = entries[-1].last
        self.for_websocket: bytes | None = None
        self.for_sse: bytes | None = None

    def websocket(self) -> bytes:
        self.for_websocket = joined = b"".join([entry.for_websocket or entry.websocket() for entry in self.entries])
        return joined

    def sse(self) -> bytes:
        self.for_sse = joined = b"".join([entry.for_sse or entry.sse() for entry in self.entries])
        return joined


HEARTBEAT: Final = Frame(b'{"type":"exmail.heartbeat","data":{}}')


def upstream_data(upstream: UpstreamStatus) -> dict[str, Any]:
    """The state of the provider connection, as browsers get it."""
    return {"state": upstream.state, "since": upstream.since, "why": upstream.why}


def upstream_frame(upstream: UpstreamStatus) -> Frame:
    return Frame(to_json({"type": "exmail.upstream", "data": upstream_data(upstream)}))


def withdrawn_frame(mailbox: str, code: int) -> Frame:
    """One mailbox is not followed on this connection, or not any more; its others are."""
    reason = codes.REASONS.get(code, "closed")
    return Frame(to_json({"type": "exmail.withdrawn", "data": {"mailbox": mailbox, "code": code, "reason": reason}}))


def closing_payload(code: int, retry_ms: int) -> bytes:
    """``exmail.closing``: the last frame before the edge closes a connection."""
    reason = codes.REASONS.get(code, "closed")
    return to_json({"type": "exmail.closing", "data": {"code": code, "reason": reason, "retry_ms": retry_ms}})


def ws_farewell(code: int, retry_ms: int) -> bytes:
    """``exmail.closing``, then the close frame, which alone could not say when to come back."""
    return ws_frame(closing_payload(code, retry_ms)) + ws_close(code)


def snapshot_payload(opened: Opened, *, after: Position | None) -> tuple[Position, bytes]:
    """The position and JSON of a snapshot: a connection's first frame, and what follows a gap that cannot be filled.

    The next frames continue from the position: the one resumed from, otherwise the top. :func:`snapshot_frame` adds
    what differs from connection to connection.
    """
    resumed = opened.status == "resumed" and after is not None
    position = after if resumed and after is not None else opened.top
    data: dict[str, Any] = {
        "mailbox": opened.mailbox,
        "unread": opened.unread,
        "as_of": opened.as_of,
        "position": str(position),
        "resumed": resumed,
    }
    if not resumed:
        data["reason"] = opened.status
        data["recent"] = [embedded(event) for event in opened.events]
    data["upstream"] = upstream_data(opened.upstream)
    data["known"] = opened.known
    return position, to_json({"type": "exmail.snapshot", "data": data})


def snapshot_frame(position: Position, payload: bytes, *, session: str | None, expires_in: int) -> Frame:
    """The snapshot of one connection, made of a payload that all connections of the mailbox share.

    ``session`` and ``expires_in`` (seconds that the credential lasts) are the connection's own.
    """
    own = b',"session":%b,"expires_in":%d}}' % (to_json(session), expires_in)
    return Frame(payload.removesuffix(b"}}") + own, position)
