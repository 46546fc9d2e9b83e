"""Wait for a condition that nothing announces: looked at again and again, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_S = 120.0
"""How long a test waits for what must come. It is there so that no test hangs, and says nothing of how fast a thing is:
on a busy machine each program may stand still for seconds, several times."""

_LOOK_S = 0.02


async def until(condition: Callable[[], bool | Awaitable[bool]], *, within_s: float = PATIENCE_S) -> None:
    """Return when ``condition`` holds.

    Raises:
        TimeoutError: it does not come to hold.
    """
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(_LOOK_S)
