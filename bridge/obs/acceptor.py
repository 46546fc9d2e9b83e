"""Accept connections on a port, and see that none of them keeps resources for ever.

asyncio accepts until the process has no descriptor left. Then it fails once for each place in the backlog, logs each
failure, and repeats that every second; and a broken connection to Redis cannot be replaced. So the last few descriptors
are reserved for the process itself: further clients wait in the kernel's queue, and open connections go on.

A door may take a connection before the protocol of the port does, once its client has said something.

A connection that does not take its answer is ended. The kernel gives up on a peer that acknowledges nothing. The
reference cycle in a closed transport is broken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiohttp import web

from bridge.obs.lasting import Lasting

log = logging.getLogger(__name__)

_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: all browsers come back at once after a restart."""
_AT_ONCE: Final = 32
"""How many connections are accepted before open ones are served again."""
RESERVE: Final = 32
"""Descriptors that are reserved for Redis, published keys and the admin port."""
_SLACK: Final = 100
"""Descriptors that the process may open for itself without notice."""
_KEPT_MOST: Final = 2048
_RETRY_S: Final = 0.5
_LOOK_S: Final = 1.0


class Door(Protocol):
    """Takes connections that it can answer itself. ``dead_s``: how long a peer of those may acknowledge nothing."""

    @property
    def dead_s(self) -> float:
        """See above."""

    def knock(self, sock: socket.socket, peer: Any, acceptor: Acceptor, /) -> bool | None:
        """Return whether the socket is its own from now on; ``None``: not until its client has said something.

        A socket that is its own it closes in the end or, untouched, has served by ``acceptor`` after all.
        """

    async def close(self, within_s: float, /) -> None:
        """End what is under way, within this time."""


class Acceptor:
    """Serves a bound socket with ``factory``, from :meth:`start` to :meth:`stop`.

    An answer over HTTP has ``patience_s`` to be taken. ``most`` connections are open at a time, if that is given: who
    has been there for longest gives way to the next. ``reserve`` descriptors are left alone. ``door`` is asked first,
    where the event loop is asyncio's own: a client has ``patience_s`` to say something.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        patience_s: float,
        most: int | None = None,
        reserve: int = RESERVE,
        door: Door | None = None,
    ) -> None:
        self._sock = sock
        self._factory = factory
        self._patience_s = patience_s
        self._most = most
        self._reserve = reserve
        self._loop = asyncio.get_running_loop()
        self._attach = transport_maker(self._loop)
        self._door = door if self._attach is not None else None
        # In the order of accepting; each with its address, and until when it is waited for.
        self._silent: dict[socket.socket, tuple[Any, float]] = {}
        self._opening: set[asyncio.Task[object]] = set()
        # In the order of accepting; each with the time since when bytes have been waiting to be taken, or None.
        self._open: dict[asyncio.Transport, float | None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        # The highest number that a connection had: none needs to be tried while the limit is far above.
        self._highest = 0
        self._full = Lasting()
        self._listening = False

    def start(self) -> bool:
        """Listen, and accept; return whether it does: not if it was told to stop before it had begun.

        Raises:
            OSError: another program listens on this address by now; the text names it.
        """
        if self._sock.fileno() < 0:
            return False
        # Accepted sockets inherit all of this; to ask each of them would cost a call into the kernel.
        give_up_dead_peer(self._sock, self._patience_s if self._door is None else self._door.dead_s)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._sock.family in (socket.AF_INET, socket.AF_INET6):
            # Otherwise a mail right after another waits until the peer has acknowledged that one. asyncio's transport
            # does the same, but what a door takes has none.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._sock.listen(_BACKLOG)
        except OSError as error:
            host, port = self._sock.getsockname()[:2]
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from None
        self._listening = True
        self._loop.add_reader(self._sock, self._accept)
        self._look = self._loop.call_later(_LOOK_S, self._look_round)
        return True

    async def stop(self) -> None:
        """Accept no more, and close the listening socket; may be called again, and before :meth:`start`."""
        if self._listening:
            self._listening = False
            # Clients that the kernel has already accepted would see a reset.
            while self._accept():
                continue
        if self._retry is not None:
            self._retry.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        if self._opening:
            await asyncio.wait(self._opening)

    def hang_up(self) -> None:
        """Close the connections whose clients have not said anything yet."""
        for sock in list(self._silent):
            self._close_silent(sock)

    def serve(self, sock: socket.socket) -> None:
        """Give a socket to a protocol of the factory's."""
        if self._door is not None:
            give_up_dead_peer(sock, self._patience_s)
        if self._attach is not None:
            try:
                self._add(self._attach(sock, self._factory()))
            except OSError as error:
                _not_served(error)
                sock.close()
            return
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._factory, sock), name="accept"
        )
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def close(self) -> None:
        """Stop watching connections; all of them are closed."""
        if self._look is not None:
            self._look.cancel()
        for transport in self._open:
            let_go(transport)
        self._open.clear()

    def _accept(self) -> bool:
        """Accept waiting connections; return whether there may be more."""
        limit = _limit()
        may_be_few = limit != resource.RLIM_INFINITY and self._highest + _AT_ONCE + _SLACK >= self._first_kept(limit)
        for _ in range(_AT_ONCE):
            if may_be_few and not self._descriptor_left(limit):
                self._pause("only the reserve is left")
                return False
            try:
                connection, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                # The process's or the whole system's descriptors, or the kernel's memory.
                self._pause(error.strerror or str(error))
                return False
            connection.setblocking(False)
            self._highest = max(self._highest, connection.fileno())
            self._knock(connection, peer, self._loop.time() + self._patience_s)
        return True

    def _knock(self, sock: socket.socket, peer: Any, until: float) -> None:
        taken = False if self._door is None else self._door.knock(sock, peer, self)
        if taken is None:
            self._silent[sock] = peer, until
            self._loop.add_reader(sock, self._spoke, sock)
        elif not taken:
            self.serve(sock)

    def _spoke(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
        self._knock(sock, *self._silent.pop(sock))

    def _close_silent(self, sock: socket.socket) -> None:
        del self._silent[sock]
        self._loop.remove_reader(sock)
        sock.close()

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _not_served(error)
            return
        self._add(task.result()[0])

    def _add(self, transport: asyncio.Transport) -> None:
        self._open[transport] = None
        if self._most is not None and len(self._open) > self._most:
            self._give_way()

    def _give_way(self) -> None:
        """Close the connection that has been idle for longest, to make room for the newest."""
        elder = list(self._open)[:-1]
        idle = next((transport for transport in elder if not transport.get_write_buffer_size()), elder[0])
        del self._open[idle]
        idle.abort()
        self._loop.call_later(_LOOK_S, let_go, idle)

    def _look_round(self) -> None:
        self._look = self._loop.call_later(_LOOK_S, self._look_round)
        now = self._loop.time()
        for sock in [sock for sock, (_, until) in self._silent.items() if until < now]:
            self._close_silent(sock)
        ended: list[asyncio.Transport] = []
        for transport, since in self._open.items():
            protocol = transport.get_protocol()
            if protocol is None:
                ended.append(transport)
            elif isinstance(protocol, web.RequestHandler):
                if not transport.get_write_buffer_size():
                    if since is not None:
                        self._open[transport] = None
                elif since is None:
                    self._open[transport] = now
                elif now - since > self._patience_s:
                    transport.abort()
        for transport in ended:
            del self._open[transport]
            let_go(transport)

    def _pause(self, why: str) -> None:
        self._loop.remove_reader(self._sock)
        if self._retry is not None:
            # It pauses already: who stops tries once more.
            self._retry.cancel()
        self._retry = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._sock, self._accept)
        # At the limit every connection that ends admits one more, so this happens again and again; log it rarely.
        if self._full.is_due():
            log.error("too few descriptors, accepting pauses", extra={"limit": _limit(), "why": why})

    def _descriptor_left(self, limit: int) -> bool:
        """Whether a connection may take a descriptor; a new one gets the lowest free number."""
        try:
            number = os.dup(self._sock.fileno())
        except OSError:
            return False
        os.close(number)
        return number < self._first_kept(limit)

    def _first_kept(self, limit: int) -> int:
        """The lowest number that is reserved."""
        return limit - min(self._reserve, limit // (256 // self._reserve))


def transport_maker(
    loop: asyncio.AbstractEventLoop,
) -> Callable[[socket.socket, asyncio.BaseProtocol], asyncio.Transport] | None:
    """What gives a socket a transport at once, where the event loop has that; ``None``: another loop than asyncio's.

    ``connect_accepted_socket`` does the same by way of a task and a future, which cost more than the transport. The
    name is private, the same from Python 3.11 to 3.14; tests/obs/test_acceptor.py notices if asyncio changes.
    """
    return getattr(loop, "_make_socket_transport", None) if isinstance(loop, asyncio.SelectorEventLoop) else None


def affordable_connections() -> int:
    """How many connections can stay open within the limit of descriptors; 0: there is no limit.

    A quarter of a low limit, and 2,048 of a high one, are left for requests that end, refusals, and the process itself.
    """
    limit = _limit()
    return 0 if limit == resource.RLIM_INFINITY else limit - min(limit // 4, _KEPT_MOST)


def let_go(transport: asyncio.BaseTransport) -> None:
    """Break the reference cycle in a closed transport of asyncio, which has an attribute with one of its own methods.

    Full collections are rare while there are many connections, so closed transports would pile up. Python does the same
    since 3.13. tests/edge/test_churn.py notices if asyncio changes.
    """
    if hasattr(transport, "_read_ready_cb"):
        cast(Any, transport)._read_ready_cb = None


def of_both_families(sock: socket.socket) -> None:
    """Make ``[::]`` stand for IPv4 addresses too, whatever the system's default is; call it before binding."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def give_up_dead_peer(sock: socket.socket, seconds: float) -> None:
    """Have the kernel give up on a peer that acknowledges or takes nothing for this long (Linux)."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def _not_served(error: BaseException) -> None:
    log.debug("connection not served", extra={"error": repr(error)})


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
