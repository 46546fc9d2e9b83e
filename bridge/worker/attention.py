"""Whether the leader hears the provider, and has committed all that it heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.worker.backlog import Backlog
from bridge.worker.upstream import UpstreamWatch

_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.005
_TURNS: Final = 3
"""Turns of the event loop: one to look at the socket, one to read it, one to be sure."""


class Attention:
    """Combines what upstream, listener and backlog know. ``is_idle`` says whether the socket has been read empty."""

    def __init__(self, upstream: UpstreamWatch, backlog: Backlog, *, is_idle: Callable[[], bool]) -> None:
        self._upstream = upstream
        self._backlog = backlog
        self._is_idle = is_idle

    def hearing(self) -> tuple[int, float] | None:
        """The session that stands, and when its last byte came (monotonic seconds); ``None``: nothing is heard."""
        return self._upstream.hearing

    async def caught_up(self) -> bool:
        """Wait until all that has arrived by now is committed, whatever arrives behind it.

        ``False`` if that takes longer than a few seconds: Redis is away, or more arrives than can be read.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                # A process that slept finds pushes and the answer in its sockets at the same time: pushes come first.
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                while not self._is_idle():  # noqa: ASYNC110 - an event for each pause would cost the reader of pushes too much
                    await asyncio.sleep(_LOOK_S)
                await self._backlog.caught_up()
        except TimeoutError:
            return False
        return True
