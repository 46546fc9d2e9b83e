"""A Redis connection whose bytes we read ourselves.

redis-py dials, with TLS, AUTH and Unix sockets; then the socket gets a protocol of our own, with hiredis as its parser.
redis-py's reader awaits once for each reply and packs commands in Python, which would be most of a commit's cost.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, cast

import hiredis

from bridge.journal.errors import translated


def transport_of(connection: Any) -> asyncio.Transport | None:
    """The transport of a redis-py connection; ``None`` while it is not connected.

    redis-py has no public name for it. The other private name of redis-py that this room relies on is ``_connect``,
    which :mod:`bridge.journal.connect` overrides.
    """
    writer = connection._writer
    return None if writer is None else cast(asyncio.Transport, writer.transport)


class RawConnection(asyncio.Protocol, ABC):
    """A protocol that dials with a redis-py connection and then gets replies, many at a time."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._dialled: Any = None
        self._former: asyncio.BaseProtocol | None = None

    async def dial(self, connection: Any) -> None:
        """Connect, and take the socket over. redis-py still closes the connection.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            await connection.connect()
        transport = transport_of(connection)
        assert transport is not None
        self._former = transport.get_protocol()
        transport.set_protocol(self)
        # Kept alive: redis-py closes the socket when its connection object is collected.
        self._dialled = connection
        self._transport = transport

    @property
    def open(self) -> bool:
        """Whether bytes can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def peer(self) -> Any:
        """The address at the other end, as :meth:`socket.socket.getpeername` has it; ``None`` before the first dial."""
        return None if self._transport is None else self._transport.get_extra_info("peername")

    def send(self, data: bytes) -> None:
        """Write; only while :attr:`open`."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Let the connection end, because its server is the wrong one by now."""
        self.close()

    @abstractmethod
    def took(self, replies: list[Any]) -> None:
        """Take the replies of one read. Errors of the server are :class:`hiredis.ReplyError` values among them."""

    @abstractmethod
    def ended(self, why: str) -> None:
        """The connection has ended."""

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        replies: list[Any] = []
        while (reply := reader.gets()) is not False:
            replies.append(reply)
        if replies:
            self.took(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._former is not None:
            # redis-py waits for this when it closes.
            self._former.connection_lost(exc)
        self.ended(str(exc or "closed by Redis"))


def pack(*words: str | bytes | int) -> bytes:
    """One command on the wire."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # the stub says: a tuple of one
    return packed
