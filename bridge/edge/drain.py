"""How an edge that stops sends its browsers away: one after the other, so that they do not all come back at once.

Whoever is still here is served meanwhile as before, mails too.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from bridge.access import codes
from bridge.edge.connection import Connection
from bridge.edge.hub import Hub

_STEP_S: Final = 0.05
_GOODBYE_S: Final = 1.0
"""For the answers to the last goodbyes; whoever does not answer is cut."""


async def drain(
    hub: Hub,
    *,
    over_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Close every connection with 3001 and a ``retry_ms`` of its own, evenly over ``over_s``; refuse new ones.

    ``now`` is monotonic seconds. In no order that means anything: who came together does not go together.
    """
    hub.closing = True
    crowd = hub.everybody()
    random.shuffle(crowd)
    began, sent = now(), 0
    while sent < len(crowd) and hub.count:
        due = due_by(now() - began, len(crowd), over_s=over_s)
        for connection in crowd[sent:due]:
            connection.end(codes.SHUTTING_DOWN)
        sent = max(sent, due)
        if sent < len(crowd):
            await sleep(_STEP_S)
    until = now() + _GOODBYE_S
    while any(map(_is_here, crowd)) and now() < until:
        await sleep(_STEP_S)


def due_by(passed_s: float, size: int, *, over_s: float) -> int:
    """How many of ``size`` have been sent away when ``passed_s`` of ``over_s`` have passed; the first goes at once."""
    if passed_s >= over_s:
        return size
    return min(size, int(passed_s / over_s * size) + 1)


def _is_here(connection: Connection) -> bool:
    return connection.transport is not None and not connection.transport.is_closing()
