"""The transport of an open connection: a descriptor, what is unsent, and nothing else.

asyncio's own is made for everything that a socket can be. Together with what the loop keeps for it, it takes 1.4 KB
where this one takes 0.2, because its buffer, addresses and callbacks are there also while nothing happens. What this
one does is the same: bytes are written at once as far as the kernel takes them, in order, and
``connection_lost`` is called by the loop, never from within a call of the connection's.

The socket stays the kernel's: options that were set on it hold.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Final

from bridge.edge.kernel import descriptor_of
from bridge.edge.watch import IS_POSSIBLE, READ, WRITE, Watch

_READ_MOST: Final = 16_384
_OPEN: Final = 0
_CLOSING: Final = 1
_ENDED: Final = 2
"""The states: open; what is unsent is written, and nothing is read; ``connection_lost`` comes next or has come."""


class LeanTransport(asyncio.Transport):
    """Takes over ``descriptor``, which it closes. The high-water mark is 0: ``pause_writing`` is called as soon as a
    byte is unsent, and ``resume_writing`` when none is.

    Raises:
        OSError: it cannot be watched; the descriptor stays the caller's.
    """

    __slots__ = ("_eof", "_protocol", "_state", "_unsent", "_wanted", "_watch", "descriptor")

    def __init__(self, descriptor: int, protocol: asyncio.Protocol, watch: Watch) -> None:
        # Not asyncio's __init__: it would make a dict for extra information, of which there is none.
        self.descriptor = -1
        self._protocol: asyncio.Protocol | None = protocol
        self._watch = watch
        self._unsent: bytearray | None = None
        self._eof = False
        self._state = _OPEN
        self._wanted = READ
        watch.add(descriptor, self)
        self.descriptor = descriptor

    def __del__(self) -> None:
        # The loop was closed before the connection was; nobody can be told.
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """There is nothing but the ``descriptor``."""
        return self.descriptor if name == "descriptor" else default

    # -- reading

    def is_closing(self) -> bool:
        return self._state != _OPEN

    def is_reading(self) -> bool:
        return bool(self._wanted & READ)

    def pause_reading(self) -> None:
        """Read no more; what ends the connection now is a write, or its owner."""
        self._want(self._wanted & ~READ)

    def happened(self, events: int) -> None:
        """See :class:`bridge.edge.watch.Watched`. An end or a fault of the peer is found by reading or writing."""
        try:
            if events & ~WRITE and self._wanted & READ:
                self._read()
            if events & ~READ and self._unsent is not None:
                self._flush()
        except Exception as error:  # noqa: BLE001 - as with asyncio's own: a fault ends this connection, not the others
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a connection failed at what its socket brought", "exception": error, "transport": self}
            )
            self._break(error)

    def _read(self) -> None:
        protocol = self._protocol
        assert protocol is not None
        try:
            data = os.read(self.descriptor, _READ_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if data:
            protocol.data_received(data)
        elif protocol.eof_received():
            self._want(self._wanted & ~READ)
        else:
            self.close()

    # -- writing

    def get_write_buffer_size(self) -> int:
        return 0 if self._unsent is None else len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write at once what the kernel takes, and the rest when it takes more. After an end it goes nowhere."""
        if self._state == _ENDED or not data:
            return
        if self._eof:
            raise RuntimeError("nothing can be written behind the end")
        if self._unsent is not None:
            self._unsent += data
            return
        try:
            sent = os.write(self.descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._break(error)
            return
        if sent < len(data):
            self._unsent = bytearray(memoryview(data)[sent:])
            try:
                self._want(self._wanted | WRITE)
            except OSError as error:
                # The kernel has no memory for one more that is watched.
                self._break(error)
                return
            assert self._protocol is not None
            self._protocol.pause_writing()

    def _flush(self) -> None:
        unsent = self._unsent
        assert unsent is not None
        try:
            sent = os.write(self.descriptor, unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._break(error)
            return
        if sent < len(unsent):
            del unsent[:sent]
            return
        self._unsent = None
        self._want(self._wanted & ~WRITE)
        if self._state == _CLOSING:
            self._end_soon(None)
            return
        if self._eof:
            self._shut_down()
        assert self._protocol is not None
        self._protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Close our half of the socket behind what is unsent; what the peer sends is still read."""
        if self._state != _OPEN or self._eof:
            return
        self._eof = True
        if self._unsent is None:
            self._shut_down()

    def _shut_down(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=self.descriptor)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The peer is gone, which reading finds out.
            pass
        finally:
            sock.detach()

    # -- the end

    def close(self) -> None:
        """Read no more, write what is unsent, and end."""
        if self._state != _OPEN:
            return
        self._want(self._wanted & ~READ)
        if self._unsent is None:
            self._end_soon(None)
        else:
            self._state = _CLOSING

    def abort(self) -> None:
        """End now; what is unsent is lost."""
        self._break(None)

    def _break(self, error: Exception | None) -> None:
        if self._state != _ENDED:
            self._unsent = None
            self._want(0)
            self._end_soon(error)

    def _end_soon(self, error: Exception | None) -> None:
        self._state = _ENDED
        asyncio.get_running_loop().call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        descriptor, self.descriptor = self.descriptor, -1
        self._watch.forget(descriptor)
        try:
            assert protocol is not None
            protocol.connection_lost(error)
        finally:
            os.close(descriptor)

    def _want(self, events: int) -> None:
        if events != self._wanted:
            self._watch.want(self.descriptor, self._wanted, events)
            self._wanted = events


def lean_socket(sock: socket.socket, protocol: asyncio.Protocol, watch: Watch) -> LeanTransport:
    """A transport for a socket that never had one; the socket is closed in any case. Where :data:`IS_POSSIBLE`.

    Raises:
        OSError: it cannot be watched.
    """
    descriptor = sock.detach()
    try:
        return LeanTransport(descriptor, protocol, watch)
    except OSError:
        os.close(descriptor)
        raise


def lean_transport(transport: asyncio.Transport, protocol: asyncio.Protocol, watch: Watch) -> LeanTransport | None:
    """Take the socket of asyncio's transport into a lean one, for ``protocol``, to which nothing is said of that.

    ``None``, and everything stays as it is, where that cannot be: the transport is not asyncio's own (uvloop, TLS),
    closes, or has bytes to write; there is no epoll; or the process's descriptors are used up, for it takes a second
    one until the loop has closed the first.
    """
    descriptor = descriptor_of(transport)
    if not IS_POSSIBLE or descriptor < 0 or transport.is_closing() or transport.get_write_buffer_size():
        return None
    try:
        ours = os.dup(descriptor)
    except OSError:
        return None
    try:
        lean = LeanTransport(ours, protocol, watch)
    except OSError:
        os.close(ours)
        return None
    # The transport closes its own number of the socket, and tells nobody.
    transport.set_protocol(asyncio.Protocol())
    transport.abort()
    return lean
