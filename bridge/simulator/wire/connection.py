"""One TCP connection of a client: requests in, bytes out, and the ways in which it can end."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from bridge.simulator.wire.request import BadRequest, Request, RequestReader

Done = Callable[[], None]


class Connection(asyncio.Protocol):
    """A protocol over asyncio's transport, so that one push is one ``write`` and nothing waits."""

    def __init__(
        self,
        *,
        number: int,
        opened: Callable[[Connection], None],
        asked: Callable[[Connection, Request], None],
        ended: Callable[[Connection], None],
        unsent_limit_bytes: Callable[[], int],
    ) -> None:
        self.number = number
        self.is_mute = False
        """Nothing is answered here any more."""
        self._opened = opened
        self._asked = asked
        self._ended = ended
        self._unsent_limit_bytes = unsent_limit_bytes
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._dripping: deque[tuple[bytes, float | None, Done | None]] = deque()
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def peer(self) -> str:
        """The client's address."""
        return str(self._transport.get_extra_info("peername")[0]) if self._transport else ""

    @property
    def peer_port(self) -> int:
        """The client's port, 0 where there is none."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return int(name[1]) if name else 0

    @property
    def is_open(self) -> bool:
        """Whether bytes can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent_bytes(self) -> int:
        """What the client has not read yet and the system has no room for."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def write(self, data: bytes, *, byte_every_s: float | None = None, done: Done | None = None) -> None:
        """Send bytes, at once or one by one; order is kept. ``done`` is called when the last one was handed over.

        A client that leaves too much unread is cut.
        """
        if not self.is_open:
            return
        if byte_every_s is not None or self._dripping:
            self._dripping.append((data, byte_every_s, done))
            if len(self._dripping) == 1:
                self._drip(0)
            return
        transport = cast("asyncio.Transport", self._transport)
        transport.write(data)
        if done is not None:
            done()
        if transport.get_write_buffer_size() > self._unsent_limit_bytes():
            self.reset()

    def later(self, delay_s: float, command: Done) -> asyncio.TimerHandle:
        """Do something after ``delay_s`` seconds, if the connection is open then."""

        def due() -> None:
            self._timers.discard(timer)
            if self.is_open:
                command()

        timer = asyncio.get_running_loop().call_later(delay_s, due)
        self._timers.add(timer)
        return timer

    def close(self) -> None:
        """End in order: what was written is sent, then FIN; what was still dripping is lost."""
        self._stop_timers()
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Break: unsent bytes are lost, the client sees RST."""
        self._stop_timers()
        if self._transport is not None:
            sock = cast("socket.socket", self._transport.get_extra_info("socket"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _drip(self, at: int) -> None:
        while self._dripping:
            data, every_s, done = self._dripping[0]
            # What only had to wait for its turn goes out whole.
            end = at + 1 if every_s is not None else len(data)
            cast("asyncio.Transport", self._transport).write(data[at:end])
            at = end
            if at >= len(data):
                at = 0
                self._dripping.popleft()
                if done is not None:
                    done()
            if every_s is not None:
                self.later(every_s, lambda at=at: self._drip(at))  # type: ignore[misc]
                return

    def _stop_timers(self) -> None:
        self._dripping.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            requests = self._reader.feed(data)
        except BadRequest:
            self.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.close()
            return
        for request in requests:
            if self.is_open:
                self._asked(self, request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        self._ended(self)
