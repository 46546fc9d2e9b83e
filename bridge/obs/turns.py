"""An event loop that takes what is ready in turns, a bounded number at a time.

asyncio asks the kernel for everything that is ready and serves all of it before anything else. When 15,000 browsers
leave at the same moment, that is one stand of the loop: their sockets become readable together, and then all of their
transports are closed. Here so many are served at most before timers, mails and all others have their turn. The kernel
hands out in turns what is ready, so nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import math
import select
import selectors
import sys
from typing import Final

MOST: Final = 128
"""How many sockets are served before timers and callbacks that are due."""
FEW: Final = 32
"""The same where each brings more than a few bytes to work on: an answer of the provider takes a third of a
millisecond, and a hundred are under way."""


def new_event_loop(most: int = MOST) -> asyncio.AbstractEventLoop:
    """A new event loop; where there is no epoll, asyncio's own. ``most``: in place of :data:`MOST`."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(InTurns(most))
    return asyncio.new_event_loop()


if sys.platform == "linux":

    class InTurns(selectors.EpollSelector):
        """The selector that asyncio uses on Linux, but for the bound.

        Two private names of it are used; tests/obs/test_turns.py notices if Python changes.
        """

        def __init__(self, most: int) -> None:
            super().__init__()
            self._most = most

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """What is ready, a bounded number at a time, as the overridden method has it. ``timeout``: seconds."""
            poll, key_of = self._selector.poll, self._fd_to_key.get  # type: ignore[attr-defined]
            # In milliseconds, and not earlier than asked.
            wait_s = -1 if timeout is None else math.ceil(max(0.0, timeout) * 1e3) * 1e-3
            try:
                found = poll(wait_s, self._most)
            except InterruptedError:
                return []
            ready = []
            for fd, event in found:
                key = key_of(fd)
                if key is not None:
                    events = selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0
                    events |= selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
                    ready.append((key, events & key.events))
            return ready
