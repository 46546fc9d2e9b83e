"""A limit on how long a process may take to end, whatever hangs.

Service managers kill after a fixed time that does not follow our settings. So theirs is longer than any that can be
set, and each process keeps its own limit. A thread enforces it, because the event loop may be what hangs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

log = logging.getLogger(__name__)

_LAST_WORDS_S: Final = 0.5


@asynccontextmanager
async def ending_within(seconds: Callable[[], float], stop: asyncio.Event) -> AsyncIterator[None]:
    """After ``stop`` the block has so many seconds as are said then; after them the process exits with code 1."""
    timers: list[threading.Timer] = []
    watching = asyncio.create_task(_start_at(stop, seconds, timers), name="patience")
    try:
        yield
    finally:
        watching.cancel()
        for timer in timers:
            timer.cancel()


async def _start_at(stop: asyncio.Event, seconds: Callable[[], float], timers: list[threading.Timer]) -> None:
    await stop.wait()
    timer = threading.Timer(seconds(), _give_up, [seconds()])
    timer.daemon = True
    timers.append(timer)
    timer.start()


def _give_up(seconds: float) -> None:
    log.error("shutdown takes too long, the process ends", extra={"seconds": seconds})
    # The log is written by a thread of its own.
    time.sleep(_LAST_WORDS_S)
    os._exit(1)
