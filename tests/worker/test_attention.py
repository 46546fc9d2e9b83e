"""Whether all that the leader heard is told: what it has not read, and what it has not committed."""

from __future__ import annotations

import asyncio

from bridge.worker.attention import Attention
from bridge.worker.backlog import Backlog
from tests.support.stage import count

from .conftest import Parts
from .test_upstream_state import Watched


async def turns(n: int = 50) -> None:
    """Let others run."""
    for _ in range(n):
        await asyncio.sleep(0)


async def test_what_is_not_read_is_waited_for(parts: Parts) -> None:
    """The socket has been read only when whoever reads it waits for more."""
    is_idle = False
    backlog = Backlog(await parts.writer(), parts.metrics, most=10)
    attention = Attention(Watched().upstream, backlog, is_idle=lambda: is_idle)
    caught_up = asyncio.create_task(attention.caught_up())
    await turns()
    assert not caught_up.done()
    is_idle = True
    assert await caught_up


async def test_what_is_not_committed_is_waited_for(parts: Parts) -> None:
    """And what comes behind it is not."""
    backlog = Backlog(await parts.writer(), parts.metrics, most=10)
    attention = Attention(Watched().upstream, backlog, is_idle=lambda: True)
    backlog.add([count(5)])
    caught_up = asyncio.create_task(attention.caught_up())
    await turns()
    assert not caught_up.done()
    committing = asyncio.create_task(backlog.run())
    assert await caught_up
    committing.cancel()
    await asyncio.wait([committing])
