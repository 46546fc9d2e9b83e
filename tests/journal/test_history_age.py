"""``BRIDGE_HISTORY_SECONDS`` holds for what Redis keeps, and not for what is given out alone."""

from __future__ import annotations

import re
from typing import Any

from bridge.journal.calls import Retention

from .conftest import BOB, KEYS, announcement, count, mail

LOG = KEYS.log(BOB)
DAY_MS = 86_400_000


async def make_older(redis: Any, ms: int, key: str = LOG) -> None:
    """Move Redis's own stamps in a log back."""
    entries = await redis.xrange(key)
    await redis.delete(key)
    for entry_id, fields in entries:
        older = re.sub(rb'"(as_of|until)":([0-9]+)', lambda m: b'"%b":%d' % (m[1], int(m[2]) - ms), fields[b"event"])
        await redis.xadd(key, {"event": older}, id=entry_id)


async def seqs(redis: Any) -> list[int]:
    return [int(entry_id.partition(b"-")[0]) for entry_id, _ in await redis.xrange(LOG)]


async def test_what_is_over_age_goes_while_mail_goes_on_coming(redis: Any, new_writer: Any) -> None:
    """Within sixteen events, however many they are; what is young stays, in one piece."""
    writer = new_writer(retention=Retention(history_events=500, history_s=3600))
    await writer.claim()
    await writer.commit([mail(f"Z{n}", n) for n in range(20)] + [count(99)])
    await make_older(redis, DAY_MS)
    await writer.commit([mail(f"Y{n}", n) for n in range(10)])
    assert await seqs(redis) == list(range(1, 32))
    await writer.commit([mail("X", 7)])
    assert await seqs(redis) == list(range(22, 33))


async def test_many_go_in_pieces(redis: Any, new_writer: Any) -> None:
    """One step has a bound; the next looks go on, faster than events come."""
    writer = new_writer(retention=Retention(history_events=500, history_s=3600))
    await writer.claim()
    await writer.commit([mail(f"Z{n}", n) for n in range(300)])
    await make_older(redis, DAY_MS)
    await writer.commit([mail(f"Y{n}", n) for n in range(20)])
    assert (await seqs(redis))[0] == 131
    await writer.commit([mail(f"X{n}", n) for n in range(48)])
    assert await seqs(redis) == list(range(301, 369))


async def test_what_is_young_stays(redis: Any, new_writer: Any) -> None:
    """A day's history is given out whole; a stamp that stands in a subject is none."""
    writer = new_writer(retention=Retention(history_events=500, history_s=2 * DAY_MS // 1000))
    await writer.claim()
    await writer.commit([mail(f'"as_of":1}}}}{n}', n) for n in range(32)])
    await make_older(redis, DAY_MS)
    await writer.commit([mail(f"Y{n}", n) for n in range(32)])
    assert await seqs(redis) == list(range(1, 65))


async def test_events_without_a_stamp_stay_with_their_log(redis: Any, new_writer: Any) -> None:
    """What concerns everybody is bounded by count, and its log by its newest event."""
    writer = new_writer(retention=Retention(history_events=500, history_s=60))
    await writer.claim()
    await writer.commit([announcement() for _ in range(40)])
    assert await redis.xlen(KEYS.log("system")) >= 40
