"""An open ``/events`` connection: an event stream until close, on a socket that aiohttp has let go."""

from __future__ import annotations

from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.frames import Delivery, Entry, Frame, closing_payload, sse_block
from bridge.edge.positions import join_positions


class SseCursor(Cursor):
    """Writes blocks of an event stream."""

    __slots__ = ()

    def deliver(self, delivery: Entry | Delivery) -> None:
        if self.live == delivery.first - 1:
            self.live = delivery.last
            connection = self.connection
            connection.frames["sse"] += 1
            connection.write_live(delivery.for_sse or delivery.sse())
        else:
            self._wait_or_catch_up(delivery)


class ManySseCursor(Cursor):
    """Writes blocks whose ``id:`` line has the positions of all mailboxes of its connection.

    ``told``: the position of this mailbox as far as its frames have been written. It is not the cursor's place while a
    snapshot waits: a client that came back with that place would never have seen the snapshot.
    """

    __slots__ = ()

    def deliver(self, delivery: Entry | Delivery) -> None:
        if self.live == delivery.first - 1:
            self.live = delivery.last
            connection = self.connection
            connection.frames["sse"] += 1
            # A line of its own for each entry: a client that is cut off in between continues from the right one.
            blocks = b"".join([self.render(entry) for entry in delivery.entries])
            connection.write_live(blocks)
        else:
            self._wait_or_catch_up(delivery)

    def render(self, frame: Frame | Entry) -> bytes:
        if isinstance(frame, Entry):
            self.told = b"%b-%d" % (frame.epoch, frame.seq)
            block = frame.data_block or frame.data()
        elif frame.position is not None:
            self.told = str(frame.position).encode()
            block = sse_block(frame.payload)
        else:
            return super().render(frame)
        return b"id: %b\n%b" % (join_positions([each.told for each in self.connection.cursors]), block)


class SseConnection(Connection):
    """Sends events and receives nothing: an event stream has no way back."""

    __slots__ = ()
    transport_name = "sse"
    cursor_type = SseCursor
    many_cursor_type = ManySseCursor

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
