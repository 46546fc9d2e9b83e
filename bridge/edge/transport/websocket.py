"""The WebSocket protocol of an open ``/ws`` connection, on a socket that aiohttp has let go."""

from __future__ import annotations

import asyncio
from typing import Final

from bridge.access import codes
from bridge.access.access import Identity
from bridge.edge.connection import Connection, Registry
from bridge.edge.cursor import Cursor
from bridge.edge.frames import Delivery, Entry, Frame, ws_close, ws_farewell, ws_frame
from bridge.edge.kernel import unacknowledged
from bridge.edge.places import Place
from bridge.edge.transport import wire

_PING: Final = ws_frame(b"", wire.PING)
_GOODBYE_S: Final = 5.0


class WebSocketCursor(Cursor):
    """Writes text frames."""

    __slots__ = ()

    def deliver(self, delivery: Entry | Delivery) -> None:
        if self.live == delivery.first - 1:
            self.live = delivery.last
            connection = self.connection
            connection.frames["websocket"] += 1
            connection.write_live(delivery.for_websocket or delivery.websocket())
        else:
            self._wait_or_catch_up(delivery)


class WebSocketConnection(Connection):
    """Sends events; takes pings, pongs and a close. Text is ignored up to 4 KiB, and a flood of frames ends it."""

    __slots__ = ("_deaf", "_pong_due", "_reader")
    transport_name = "websocket"
    cursor_type = WebSocketCursor
    many_cursor_type = WebSocketCursor

    def __init__(self, hub: Registry, identity: Identity, place: Place | None = None) -> None:
        super().__init__(hub, identity, place)
        # Most browsers send nothing but pongs, for which none is needed.
        self._reader: wire.FrameReader | None = None
        self._deaf = False
        self._pong_due = False

    def render(self, frame: Frame | Entry) -> bytes:
        return frame.for_websocket or frame.websocket()

    def say_goodbye(self, code: int) -> None:
        transport = self.transport
        assert transport is not None
        transport.write(ws_farewell(code, self.hub.retry_ms(code)))
        # The client answers with its own close; closing before that could reset the connection under the code.
        asyncio.get_running_loop().call_later(_GOODBYE_S, transport.abort)

    def beat(self, frame: Frame) -> None:
        if self.transport is not None and not self.behind_since and not self.code:
            self._pong_due = True
            # One write: the system call is most of what a heartbeat costs.
            self.write_live(self.render(frame) + _PING)

    def check_pong(self) -> None:
        """End the connection if the last ping was not answered.

        While we or the kernel still have bytes to deliver, the ping may be among them, and a missing pong proves
        nothing. The kernel itself gives up on a peer that acknowledges nothing.
        """
        is_due = self._pong_due and not self.behind_since
        if is_due and self.transport is not None and not unacknowledged(self.transport):
            self.end(codes.NO_PONG)
        if self._reader is not None and self._reader.is_resting:
            self._reader = None

    def data_received(self, data: bytes) -> None:
        transport, reader = self.transport, self._reader
        if transport is None or self._deaf:
            return
        if reader is None:
            if self._pong_due and wire.is_empty_pong(data):
                # One for each heartbeat; any other is counted with all frames.
                self._pong_due = False
                return
            reader = self._reader = wire.FrameReader()
        reader.passed(self.hub.now())
        try:
            for message in reader.feed(data):
                if message.opcode == wire.PONG:
                    self._pong_due = False
                elif message.opcode == wire.PING:
                    if not self.behind_since and not self.code:
                        transport.write(ws_frame(message.payload, wire.PONG))
                elif message.opcode == wire.CLOSE:
                    code = wire.read_close(message.payload)
                    self._hang_up(transport, code, ws_frame(message.payload[:2], wire.CLOSE))
                    return
        except wire.WireError as error:
            last = ws_close(error.code)
            if error.code == codes.BAD_REQUEST:
                last = ws_farewell(error.code, self.hub.retry_ms(error.code))
            self._hang_up(transport, error.code, last)
            if not reader.allowance:
                # The rest of a flood is not even read.
                transport.pause_reading()

    def _hang_up(self, transport: asyncio.Transport, code: int, last: bytes) -> None:
        """Write a last frame, unless one has been written, and read nothing any more.

        Only our half of the socket is closed. If the client's bytes reached a closed socket, the kernel would answer
        with a reset, which would overtake the last frame.
        """
        self._reader, self._deaf = None, True
        self._hold()
        if not self.code:
            self.code = code
            transport.write(last)
        transport.write_eof()
        asyncio.get_running_loop().call_later(_GOODBYE_S, transport.abort)
