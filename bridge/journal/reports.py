"""Reports of edges that concern everybody. Edges may not write to ``system``, so the leading worker publishes them.

They have a list of their own beside the operator's orders: an edge, which the whole company can reach, must not have
the right to give orders.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

from redis.asyncio import Redis

from bridge.events import from_json, to_json
from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_MOST: Final = 100
_KEPT_S: Final = 600
_NAME: Final = re.compile(r"[\w.:-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Deafness:
    """An edge's pub/sub connection was open and deaf. ``since``, ``until``: epoch ms; ``edge``: the edge's name."""

    edge: str
    since: int
    until: int


class Reports:
    """Leaves and takes reports."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._keys = keys

    async def tell(self, report: Deafness) -> None:
        """Leave a report for the leader; the newest hundred are kept, for ten minutes.

        Raises:
            JournalAway, JournalRefused
        """
        key = self._keys.reports
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.lpush(key, to_json(asdict(report)))
        pipeline.ltrim(key, 0, _MOST - 1)
        pipeline.expire(key, _KEPT_S)
        with translated():
            await pipeline.execute()

    async def take(self) -> list[Deafness]:
        """Take all that there are, oldest first; of more than a hundred the newest.

        Raises:
            JournalAway, JournalRefused
        """
        key = self._keys.reports
        pipeline = self._redis.pipeline(transaction=False)
        # An edge that was taken over leaves as many as it likes.
        pipeline.ltrim(key, 0, _MOST - 1)
        pipeline.rpop(key, _MOST)
        with translated():
            _, texts = await pipeline.execute()
        found = [_read(text) for text in texts or ()]
        return [report for report in found if report is not None]


def _read(text: bytes) -> Deafness | None:
    """Read a report, strictly: the leader publishes it to everybody, and an edge may have been taken over."""
    try:
        found = from_json(text)
        report = Deafness(str(found["edge"]), int(found["since"]), int(found["until"]))
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return report if _NAME.fullmatch(report.edge) and 0 <= report.since <= report.until < 2**53 else None
