"""One epoll for the sockets of all open connections; the event loop watches it as a single descriptor.

The loop keeps a handle, a context, a key and two tuples for each descriptor that it watches by itself: 0.4 KB for a
socket on which nothing happens.
"""

from __future__ import annotations

import asyncio
import select
import sys
from typing import Final, Protocol

IS_POSSIBLE: Final = sys.platform == "linux"
"""Other systems have no epoll; there the loop watches each socket."""
READ: Final = 1
WRITE: Final = 4
"""What may be waited for: the numbers of ``EPOLLIN`` and ``EPOLLOUT``."""
_AT_ONCE: Final = 128
"""How many sockets are served before anything else of the loop is."""


class Watched(Protocol):
    """Whom a descriptor belongs to."""

    def happened(self, events: int) -> None:
        """Something of ``READ`` and ``WRITE`` can be done, or the peer is gone; must not raise."""


class Watch:
    """Tells the owners of descriptors what they can do now.

    The epoll is there as long as anything is watched; nobody needs to close it.
    """

    def __init__(self) -> None:
        self._owners: dict[int, Watched] = {}
        self._epoll: select.epoll | None = None

    def add(self, descriptor: int, owner: Watched) -> None:
        """Begin with ``READ``.

        Raises:
            OSError: there is no descriptor left for the epoll, or no memory in the kernel; nothing is watched.
        """
        epoll = self._epoll
        if epoll is None:
            epoll = select.epoll()
            asyncio.get_running_loop().add_reader(epoll.fileno(), self._look)
            self._epoll = epoll
        try:
            epoll.register(descriptor, READ)
        except OSError:
            self._close_if_unused()
            raise
        self._owners[descriptor] = owner

    def want(self, descriptor: int, before: int, now: int) -> None:
        """Wait for ``now``, where ``before`` was waited for; with 0 not even the peer's end is told."""
        epoll = self._epoll
        if epoll is None or before == now:
            return
        if not now:
            epoll.unregister(descriptor)
        elif before:
            epoll.modify(descriptor, now)
        else:
            epoll.register(descriptor, now)

    def forget(self, descriptor: int) -> None:
        """It is about to be closed; nothing of it is waited for any more."""
        del self._owners[descriptor]
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._owners and self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        epoll = self._epoll
        if epoll is None:
            return
        for descriptor, events in epoll.poll(0, _AT_ONCE):
            # An owner may have ended another one just now. If the number has already been given to a new one, that one
            # finds that there is nothing to do.
            owner = self._owners.get(descriptor)
            if owner is not None:
                owner.happened(events)
