"""Accept connections on a port, and see that none of them keeps resources for ever.

asyncio accepts until the process has no descriptor left. Then it fails once for each place in the backlog, logs each
failure, and repeats that every second; and a broken connection to Redis cannot be replaced. So the last few descriptors
are reserved for the process itself: further clients wait in the kernel's queue, and open connections go on.

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
from typing import Any, Final, cast

from aiohttp import web

from bridge.obs.lasting import Lasting

log = logging.getLogger(__name__)

_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: all browsers come back at once after a restart."""
_AT_ONCE: Final = 100
"""How many connections are accepted before open ones are served again."""
RESERVE: Final = 32
"""Descriptors that are reserved for Redis, published keys and the admin port."""
_KEPT_MOST: Final = 2048
_RETRY_S: Final = 0.5
_LOOK_S: Final = 1.0


class Acceptor:
    """Serves a bound socket with ``factory``, from :meth:`start` to :meth:`stop`.

    An answer over HTTP has ``patience_s`` to be taken. ``most`` connections are open at a time, if that is given: who
    has been there for longest gives way to the next. ``reserve`` descriptors are left alone.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: Callable[[], asyncio.BaseProtocol],
        *,
        patience_s: float,
        most: int | None = None,
        reserve: int = RESERVE,
    ) -> None:
        self._sock = sock
        self._factory = factory
        self._patience_s = patience_s
        self._most = most
        self._reserve = reserve
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        # In the order of accepting; each with the time since when bytes have been waiting to be taken, or None.
        self._open: dict[asyncio.Transport, float | None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._full = Lasting()
        self._listening = False

    def start(self) -> bool:
        """Listen, and accept; return whether it does: not if it was told to stop before it had begun.

        Raises:
            OSError: another program listens on this address by now; the text names it.
        """
        if self._sock.fileno() < 0:
            return False
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

    def close(self) -> None:
        """Stop watching connections; all of them are closed."""
        if self._look is not None:
            self._look.cancel()
        for transport in self._open:
            let_go(transport)
        self._open.clear()

    def _accept(self) -> bool:
        """Accept waiting connections; return whether there may be more."""
        for _ in range(_AT_ONCE):
            if not self._descriptor_left():
                self._pause("only the reserve is left")
                return False
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as error:
                # The process's or the whole system's descriptors, or the kernel's memory.
                self._pause(error.strerror or str(error))
                return False
            connection.setblocking(False)
            give_up_dead_peer(connection, self._patience_s)
            task: asyncio.Task[object] = self._loop.create_task(
                self._loop.connect_accepted_socket(self._factory, connection), name="accept"
            )
            self._opening.add(task)
            task.add_done_callback(self._opened)
        return True

    def _opened(self, task: asyncio.Task[Any]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.debug("connection not served", extra={"error": repr(error)})
            return
        self._open[task.result()[0]] = None
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
        self._retry = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._sock, self._accept)
        # At the limit every connection that ends admits one more, so this happens again and again; log it rarely.
        if self._full.is_due():
            log.error("too few descriptors, accepting pauses", extra={"limit": _limit(), "why": why})

    def _descriptor_left(self) -> bool:
        """Whether a connection may take a descriptor; a new one gets the lowest free number."""
        limit = _limit()
        if limit == resource.RLIM_INFINITY:
            return True
        try:
            number = os.dup(self._sock.fileno())
        except OSError:
            return False
        os.close(number)
        return number < limit - min(self._reserve, limit // (256 // self._reserve))


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


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
