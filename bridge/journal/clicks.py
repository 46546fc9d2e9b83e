"""What Redis keeps of sign-on clicks: how many a mailbox made in this minute, and the record of each.

Both are shared by all processes: a bound that each kept for itself would be no bound, and an operator who asks who
was let into a mailbox has one place to look. The shapes are those that ``signon.click.Ledger`` asks for; this room
does not import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import typed
from bridge.journal.errors import JournalError, translated
from bridge.journal.keys import Keys

WINDOW_S: Final = 60


class Clicks:
    """Counts and records. ``audit_max`` entries are kept for ``audit_s`` seconds; a click takes off what is beyond.

    A Redis that does not answer or refuses is a ``ConnectionError`` to the caller, which knows no journal.
    """

    def __init__(self, redis: Redis, keys: Keys, *, audit_max: int, audit_s: int) -> None:
        self._redis = typed(redis)
        self._keys = keys
        self._audit_max = audit_max
        self._audit_s = audit_s

    async def account(self, mailbox: str) -> tuple[str, bool]:
        """The account that an address stands for, and whether it is barred: disabled or deleted.

        An address stands for itself, unless the mirror knows it as a slave (别名).
        """
        keys = self._keys
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hget(keys.slaves, mailbox)
        pipeline.sismember(keys.barred, mailbox)
        with _unreachable():
            alias, barred = await pipeline.execute()
            if alias is None:
                return mailbox, bool(barred)
            return alias.decode(), bool(await self._redis.sismember(keys.barred, alias))

    async def count(self, account: str) -> tuple[int, float]:
        """Count a click; return how many it makes in the running minute, and the seconds until that ends.

        The minute begins with its first click, and clicks that are refused do not prolong it.
        """
        key = self._keys.clicks(account)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.incr(key)
        # NX, each time: a counter must not be left without an end by a process that died in between.
        pipeline.expire(key, WINDOW_S, nx=True)
        pipeline.pttl(key)
        with _unreachable():
            clicks, _, left_ms = await pipeline.execute()
        return clicks, max(0, left_ms) / 1000

    async def record(self, entry: Mapping[str, str]) -> None:
        """Append an entry to the audit stream, and let go of what is too old or too much."""
        audit = self._keys.audit
        with _unreachable():
            written = await self._redis.xadd(audit, dict(entry), maxlen=self._audit_max, approximate=False)
            # Redis's own clock, from the id that it gave.
            now_ms = int(written.partition(b"-")[0])
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xtrim(audit, minid=max(0, now_ms - self._audit_s * 1000), approximate=False)
            # Trimming happens with a click; where none come any more, the whole stream ends with its newest entry.
            pipeline.expire(audit, self._audit_s)
            await pipeline.execute()


@contextmanager
def _unreachable() -> Iterator[None]:
    try:
        with translated():
            yield
    except JournalError as error:
        raise ConnectionError(str(error)) from error
