"""Wait for a fact to become true, without sleeping and asking again.

Tests wait for listeners, calls and faults. Each of these has a bell and rings it at every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PATIENCE_S: Final = 60.0
"""How long is waited unless something else is said: for as long as programs take to start on a busy machine."""


class Bell:
    """Wakes everybody who waits, at every change; each then checks its own condition."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody: something has changed."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def until(self, holds: Callable[[], bool], *, timeout_s: float) -> None:
        """Return as soon as ``holds()`` is true.

        Raises:
            TimeoutError: it was still false after ``timeout_s`` seconds.
        """
        async with asyncio.timeout(timeout_s):
            while not holds():
                await self._rung.wait()
