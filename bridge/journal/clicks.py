"""What Redis keeps of sign-on clicks: how many a mailbox made in this minute, and the record of each.

Both are shared by all processes: a limit for each process would be none, and an operator who asks who was let into a
mailbox has one place to look. :class:`Clicks` has the methods of ``signon.click.Ledger`` without importing it.
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
    """Counts and records clicks. At most ``audit_max`` records are kept, for ``audit_s`` seconds.

    Faults of Redis are raised as ``ConnectionError``, because the caller does not know the journal's errors.
    """

    def __init__(self, redis: Redis, keys: Keys, *, audit_max: int, audit_s: int) -> None:
        self._redis = typed(redis)
        self._keys = keys
        self._audit_max = audit_max
        self._audit_s = audit_s

    async def account(self, mailbox: str) -> tuple[str, bool]:
        """The account that an address belongs to, and whether it is barred: disabled or deleted.

        An address that is not a slave (别名) in the mirror is taken for an account.
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
        """Count a click; return the number in the current minute, and the seconds until the minute ends.

        The minute begins with its first click; refused clicks do not prolong it.
        """
        key = self._keys.clicks(account)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.incr(key)
        # Set each time, with NX: a process that dies after INCR must not leave a counter that never expires.
        pipeline.expire(key, WINDOW_S, nx=True)
        pipeline.pttl(key)
        with _unreachable():
            clicks, _, left_ms = await pipeline.execute()
        return clicks, max(0, left_ms) / 1000

    async def record(self, entry: Mapping[str, str]) -> None:
        """Append an entry to the audit stream, and trim it by number and age."""
        audit = self._keys.audit
        with _unreachable():
            written = await self._redis.xadd(audit, dict(entry), maxlen=self._audit_max, approximate=False)
            # By Redis's clock, which gave the id.
            now_ms = int(written.partition(b"-")[0])
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.xtrim(audit, minid=max(0, now_ms - self._audit_s * 1000), approximate=False)
            # Only a click trims. If none comes any more, the whole stream expires with its newest entry.
            pipeline.expire(audit, self._audit_s)
            await pipeline.execute()


@contextmanager
def _unreachable() -> Iterator[None]:
    try:
        with translated():
            yield
    except JournalError as error:
        raise ConnectionError(str(error)) from error
