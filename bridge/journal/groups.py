"""Consumer groups of other services on ``{ns}:events``: how far behind the slowest of them is.

The stream is trimmed whether or not they have read, and Redis tells nobody.
"""

from __future__ import annotations

from redis.asyncio import Redis

from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.follow import StreamId, parse_stream_id
from bridge.journal.keys import Keys


class Groups:
    """Reads for one namespace."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._events = keys.events

    async def most_behind(self) -> int:
        """How many events the slowest group has not finished: not taken yet, or taken and not acknowledged.

        0 where there is no group. Events that are gone already count, too.

        Raises:
            JournalAway, JournalRefused, JournalSpoilt
        """
        with translated():
            if not await self._redis.exists(self._events):
                return 0
            groups = await self._redis.xinfo_groups(self._events)
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xlen(self._events)
            pipeline.xrevrange(self._events, count=1)
            for group in groups:
                pipeline.xpending(self._events, group["name"])
            length, newest, *pending = await pipeline.execute()
        if not newest:
            return 0
        top = _id(newest[0][0])
        behind = [
            unfinished(top, _id(group["last-delivered-id"]), _before(each["min"]) if each["pending"] else None, length)
            for group, each in zip(groups, pending, strict=True)
        ]
        return max(behind, default=0)


def unfinished(top: StreamId, delivered: StreamId, finished: StreamId | None, length: int) -> int:
    """How many events one group has not finished.

    ``top``: the newest event · ``delivered``: up to which it was given them · ``finished``: up to which all of these
    are done, ``None``: as far as they were given · ``length`` of the stream, all of which is new to a group that was
    in an older generation last.
    """
    at = delivered if finished is None else min(delivered, finished)
    return max(0, top.n - at.n) if at.generation == top.generation else length


def _id(raw: bytes) -> StreamId:
    return parse_stream_id(raw.decode()) or StreamId(0, 0)


def _before(raw: bytes) -> StreamId:
    first = _id(raw)
    return StreamId(first.generation, first.n - 1)
