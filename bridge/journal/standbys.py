"""Who stands by. The lease says who leads; a worker that waits for it would otherwise be seen by nobody."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_KEPT_S: Final = 5
"""For how long an entry counts; longer than the pause between two tries to lead, and than Redis's failovers take."""


class Standbys:
    """Enters workers that stand by, and takes them out. How many there are is part of the overview."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._key = keys.standbys

    async def enter(self, name: str) -> None:
        """Note that the worker ``name`` stands by, for some seconds by Redis's clock.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            seconds, _ = await self._redis.time()
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zadd(self._key, {name: float(seconds + _KEPT_S)})
            pipeline.zremrangebyscore(self._key, "-inf", seconds)
            pipeline.expire(self._key, 2 * _KEPT_S)
            await pipeline.execute()

    async def leave(self, name: str) -> None:
        """Note that it stands by no more.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            await self._redis.zrem(self._key, name)
