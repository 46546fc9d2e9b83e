"""What a living system says of its size: how many people, how many events, and what one of each takes. Reads only.

The newest events and some mailboxes are looked at, not all: what is asked of Redis is bounded, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from bridge.events import MAIL_NEW, MAIL_UNREAD, time_of
from bridge.journal.client import Entry, number_in, typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_EVENTS: Final = 300
_MAILBOXES: Final = 200
_AT_ONCE: Final = 20
_LEAST_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Living:
    """``accounts``, ``aliases`` (all of them together) in the mirror; ``online``: mailboxes with an open browser.

    ``events`` are kept in the stream of all, over ``span_s`` seconds until now; ``None``: there is none, or one that
    has no time. Of the newest: ``mails`` and ``counts``, and the mean bytes of the JSON of one of each; 0: none came.
    ``mailbox_bytes``: the mean of the mailboxes that were looked at, with history and remembered ids. ``memory`` that
    is used, and ``memory_most`` (0: no limit), in bytes; ``commands``: that Redis does a second at the moment.
    """

    accounts: int
    aliases: int
    online: int
    events: int
    span_s: float | None
    mails: int
    counts: int
    mail_bytes: float
    count_bytes: float
    mailbox_bytes: float
    memory: int
    memory_most: int
    commands: int

    @property
    def events_s(self) -> float | None:
        """Events a second, over as long as the stream reaches back; ``None``: not known."""
        return self.events / self.span_s if self.span_s else None

    @property
    def mails_a_day(self) -> float | None:
        """Mails that came to each account in a day, over as long as the stream reaches back; ``None``: not known, as
        where that is less than an hour."""
        if self.span_s is None or self.span_s < _LEAST_S or not self.accounts or not self.mails + self.counts:
            return None
        share = self.mails / (self.mails + self.counts)
        return self.events * share / self.span_s * 86_400 / self.accounts


async def living(redis: Redis, keys: Keys) -> Living:
    """Look.

    Raises:
        JournalAway, JournalRefused, JournalSpoilt
    """
    client = typed(redis)
    with translated():
        now, _ = await client.time()
        pipeline = client.pipeline(transaction=False)
        pipeline.hlen(keys.directory)
        pipeline.hlen(keys.slaves)
        pipeline.zcount(keys.online, int(now), "+inf")
        pipeline.xlen(keys.events)
        pipeline.xrange(keys.events, count=1)
        pipeline.xrevrange(keys.events, count=_EVENTS)
        pipeline.hrandfield(keys.directory, _MAILBOXES)
        pipeline.info("memory")
        pipeline.info("stats")
        accounts, aliases, online, events, oldest, newest, some, memory, stats = await pipeline.execute()
        mailbox_bytes = await _mean_of(redis, keys, [name.decode(errors="replace") for name in some or ()])
    sizes = {
        kind: [len(fields.get(b"event", b"")) for _, fields in newest if fields.get(b"type") == kind.encode()]
        for kind in (MAIL_NEW, MAIL_UNREAD)
    }
    return Living(
        accounts=accounts,
        aliases=aliases,
        online=online,
        events=events,
        span_s=_span(oldest, int(now)),
        mails=len(sizes[MAIL_NEW]),
        counts=len(sizes[MAIL_UNREAD]),
        mail_bytes=_mean(sizes[MAIL_NEW]),
        count_bytes=_mean(sizes[MAIL_UNREAD]),
        mailbox_bytes=mailbox_bytes,
        memory=number_in(memory, "used_memory"),
        memory_most=number_in(memory, "maxmemory"),
        commands=number_in(stats, "instantaneous_ops_per_sec"),
    )


async def _mean_of(redis: Redis, keys: Keys, mailboxes: Sequence[str]) -> float:
    """A call each would wait for Redis each time; all at once would be a large answer to wait behind."""
    total = 0
    for first in range(0, len(mailboxes), _AT_ONCE):
        pipeline = typed(redis).pipeline(transaction=False)
        for mailbox in mailboxes[first : first + _AT_ONCE]:
            for key in (keys.state(mailbox), keys.log(mailbox), keys.seen(mailbox)):
                pipeline.memory_usage(key)
        total += sum(size or 0 for size in await pipeline.execute())
    return total / len(mailboxes) if mailboxes else 0.0


def _span(oldest: Sequence[Entry], now_s: int) -> float | None:
    began = time_of(oldest[0][1].get(b"event", b"")) if oldest else None
    return None if began is None or began >= now_s else now_s - began


def _mean(sizes: Sequence[int]) -> float:
    return sum(sizes) / len(sizes) if sizes else 0.0
