"""The WebSocket protocol of an open ``/ws`` connection, on a socket that aiohttp has let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bridge.edge import codes, wire
from bridge.edge.frames import Delivery, Entry, Frame, ws_close, ws_frame
from bridge.edge.subscriber import Subscriber
from bridge.edge.tail import Tail

if TYPE_CHECKING:
    from bridge.edge.access import Identity
    from bridge.edge.audience import Audience

_PING: Final = ws_frame(b"", wire.PING)
_GOODBYE_S: Final = 5.0


class WebSocketSubscriber(Subscriber):
    """Events out; pings, pongs and a close in. Text from the client is ignored up to 4 KiB."""

    __slots__ = ("_pong_due", "_reader")
    transport_name = "websocket"

    def __init__(self, audience: Audience, identity: Identity, tail: Tail) -> None:
        super().__init__(audience, identity, tail)
        self._reader = wire.FrameReader()
        self._pong_due = False

    def render(self, frame: Frame | Entry) -> bytes:
        return frame.for_websocket or frame.websocket()

    def deliver(self, delivery: Entry | Delivery) -> None:
        if self.live == delivery.first - 1:
            self.live = delivery.last
            self.audience.frames["websocket"] += 1
            # A cursor that is live has a transport.
            self.transport.write(delivery.for_websocket or delivery.websocket())  # type: ignore[union-attr]
        else:
            self._wait_or_catch_up(delivery)

    def say_goodbye(self, code: int) -> None:
        transport = self.transport
        assert transport is not None
        transport.write(ws_close(code))
        # The client answers with its own close; closing before that could reset the connection under the code.
        asyncio.get_running_loop().call_later(_GOODBYE_S, transport.abort)

    def beat(self, frame: Frame) -> None:
        super().beat(frame)
        if self.transport is not None and not self.behind_since and not self.code:
            self._pong_due = True
            self.transport.write(_PING)

    def check_pong(self) -> None:
        """The deadline of the last ping has come."""
        if self._pong_due:
            self.end(codes.NO_PONG)

    def data_received(self, data: bytes) -> None:
        transport = self.transport
        if transport is None:
            return
        try:
            messages = self._reader.feed(data)
        except wire.WireError as error:
            self._fail(transport, error.code)
            return
        for message in messages:
            if message.opcode == wire.PONG:
                self._pong_due = False
            elif message.opcode == wire.PING:
                if not self.behind_since and not self.code:
                    transport.write(ws_frame(message.payload, wire.PONG))
            elif message.opcode == wire.CLOSE:
                self._answer_close(transport, message.payload)
                return

    def _answer_close(self, transport: asyncio.Transport, payload: bytes) -> None:
        try:
            code = wire.read_close(payload)
        except wire.WireError as error:
            self._fail(transport, error.code)
            return
        if not self.code:
            self.code = code
            transport.write(ws_frame(payload[:2], wire.CLOSE))
        transport.close()

    def _fail(self, transport: asyncio.Transport, code: int) -> None:
        """The client's bytes cannot be read any more: tell it and hang up."""
        if not self.code:
            self.code = code
            transport.write(ws_close(code))
        transport.close()
