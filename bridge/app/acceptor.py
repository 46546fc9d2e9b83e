"""Accept connections on the public port, and pause while descriptors are short.

asyncio accepts until a process has no descriptor left; then it tries a whole backlog of times, logs each, and does so
every second. And with the last descriptor gone, a connection to Redis that breaks cannot be made again. So the last
few are left for the edge itself: whoever comes then waits in the kernel's queue, and open connections live on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: all browsers come back at once after a restart."""
_AT_ONCE: Final = 100
"""Connections accepted before those that are open get their turn again."""
_RESERVE: Final = 32
"""Descriptors that browsers do not get: for Redis, published keys, the admin port."""
_RETRY_S: Final = 0.5
_TELL_S: Final = 60.0


class Acceptor:
    """Serves a bound socket with ``factory``, from :meth:`start` to :meth:`stop`."""

    def __init__(self, sock: socket.socket, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._sock = sock
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._told = float("-inf")

    def start(self) -> None:
        """Listen, and accept."""
        self._sock.listen(_BACKLOG)
        self._loop.add_reader(self._sock, self._accept)

    async def stop(self) -> None:
        """Accept no more, and close the listening socket; may be called again."""
        if self._retry is not None:
            self._retry.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._descriptor_left():
                self._pause("only the reserve is left")
                return
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # The process's or the whole system's descriptors, or the kernel's memory.
                self._pause(error.strerror or str(error))
                return
            connection.setblocking(False)
            task: asyncio.Task[object] = self._loop.create_task(
                self._loop.connect_accepted_socket(self._factory, connection), name="accept"
            )
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("connection not served", extra={"error": repr(error)})

    def _pause(self, why: str) -> None:
        self._loop.remove_reader(self._sock)
        self._retry = self._loop.call_later(_RETRY_S, self._loop.add_reader, self._sock, self._accept)
        # At the limit each connection that ends lets one in: it pauses over and over, and is said now and then.
        if self._loop.time() - self._told >= _TELL_S:
            self._told = self._loop.time()
            log.error("too few descriptors, accepting pauses", extra={"limit": _limit(), "why": why})

    def _descriptor_left(self) -> bool:
        """Whether a browser may take one; a new descriptor has the lowest number that is free."""
        limit = _limit()
        if limit == resource.RLIM_INFINITY:
            return True
        try:
            number = os.dup(self._sock.fileno())
        except OSError:
            return False
        os.close(number)
        return number < limit - min(_RESERVE, limit // 8)


def _limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
