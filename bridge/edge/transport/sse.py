"""An open ``/events`` connection: an event stream until close, on a socket that aiohttp has let go."""

from __future__ import annotations

from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.frames import Delivery, Entry, Frame, closing_payload, sse_block


class SseCursor(Cursor):
    """Writes blocks of an event stream."""

    __slots__ = ()

    def deliver(self, delivery: Entry | Delivery) -> None:
        if self.live == delivery.first - 1:
            self.live = delivery.last
            connection = self.connection
            connection.frames["sse"] += 1
            # A cursor that is live has a transport.
            connection.transport.write(delivery.for_sse or delivery.sse())  # type: ignore[union-attr]
        else:
            self._wait_or_catch_up(delivery)


class SseConnection(Connection):
    """Sends events and receives nothing: an event stream has no way back."""

    __slots__ = ()
    transport_name = "sse"
    cursor_type = SseCursor

    def render(self, frame: Frame | Entry) -> bytes:
        return frame.for_sse or frame.sse()

    def say_goodbye(self, code: int) -> None:
        assert self.transport is not None
        self.transport.write(sse_block(closing_payload(code, self.hub.retry_ms(code))))
        self.transport.close()

    def check_pong(self) -> None:
        """There are no pongs: a dead client is found by TCP_USER_TIMEOUT and by bytes that stay unsent."""

    def data_received(self, data: bytes) -> None:
        """Ignore whatever a client sends after its request."""
