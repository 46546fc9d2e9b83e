"""Whether the leader hears the provider, and has told all that it heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.worker.backlog import Backlog
from bridge.worker.upstream import Upstream

_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.005
_TURNS: Final = 3
"""Of the event loop: one in which the socket is looked at, one in which it is read, one to be sure."""


class Attention:
    """Puts together what the connection, the listener and the backlog know. ``is_idle``: the socket has been read."""

    def __init__(self, upstream: Upstream, backlog: Backlog, *, is_idle: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._backlog = backlog
        self._is_idle = is_idle

    def hearing(self) -> tuple[int, float] | None:
        """Which session stands and when its last byte came, monotonic seconds; ``None``: nobody hears."""
        return self._upstream.hearing

    async def caught_up(self) -> bool:
        """Wait until all that has come by now is committed, however much comes behind it.

        ``False`` where that takes longer than a few seconds: Redis is away, or more comes than can be read.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                # What came before now gets its turn: a process that slept finds it together with the answer.
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                while not self._is_idle():  # noqa: ASYNC110 - whoever reads pushes has no time to tell of each pause
                    await asyncio.sleep(_LOOK_S)
                await self._backlog.caught_up()
        except TimeoutError:
            return False
        return True
