"""Whether a stored count is to be believed: the script's rule, and what Python reads."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from bridge.journal.mirror import Mirror
from bridge.journal.script import SOURCE
from bridge.journal.trace import Trace

from .conftest import BOB, KEYS

NOW, BEFORE = "2000", "1000"
STATE: Final = KEYS.state(BOB)
ASKED: Final = (
    SOURCE.partition(b"local lease, call_number,")[0]
    + b"""
local gap, lost = unpack(redis.call('HMGET', KEYS[8], 'gap', 'lost'))
local s = stream_state(redis.call('GET', KEYS[3]), 'abcdefgh')
carried_base(s, lost)
return is_doubtful(s, gap) and 1 or 0
"""
)
"""The script up to where it writes, and then its rule alone, with the keys as ``open`` has them."""


async def stored(redis: Any, mailbox: dict[str, str | None], upstream: dict[str, str | None]) -> None:
    pipeline = redis.pipeline(transaction=False)
    pipeline.flushdb()
    pipeline.set(KEYS.generation, NOW)
    for key, fields in ((STATE, mailbox), (KEYS.upstream, upstream)):
        if present := {name: value for name, value in fields.items() if value is not None}:
            pipeline.hset(key, mapping=present)
    await pipeline.execute()


async def test_python_doubts_what_the_script_doubts(redis: Any, mirror: Mirror) -> None:
    """Whatever stands in the two hashes. But after a proven loss the script compares with nothing that was lost, so it
    doubts nothing; Python has the count asked for anew."""
    script = await redis.script_load(ASKED)
    keys = (KEYS.lease, KEYS.wanted, KEYS.generation, STATE, KEYS.log(BOB), KEYS.directory, KEYS.slaves, KEYS.upstream)
    trace = Trace(redis, KEYS)
    differ = set()
    wholly = product((NOW, BEFORE), (None, "5"), (None, "3"), (None, "0", "1"), (None, "0", "1"), (None, "0", "1"))
    for of, unread, base, gap, suspect, newest in wholly:
        for lost in (None, NOW) if of == BEFORE else (None,):
            mailbox = {"generation": of, "epoch": "aaaaaaaa", "seq": "4", "unread": unread, "gap": gap}
            mailbox |= {"base": base, "suspect": suspect if base else None}
            await stored(redis, mailbox, {"gap": newest, "lost": lost})
            doubted = bool(await redis.evalsha(script, len(keys), *keys))
            [counted], _ = await mirror.counted([BOB])
            if counted.doubtful != doubted:
                assert (counted.doubtful, lost) == (True, NOW), (mailbox, newest)
                differ.add((unread, base))
            else:
                assert not doubted or lost is None
            # Who asks why is told of what counts alone, and of an older generation nothing does.
            assert (await trace.stored(BOB)).doubtful == (doubted and of == NOW)
    assert differ == {("5", None), ("5", "3"), (None, "3")}


async def test_where_nothing_is_stored_nothing_is_doubted(redis: Any, mirror: Mirror) -> None:
    """Whatever the number of the newest gap."""
    await stored(redis, {}, {"gap": "3"})
    [counted], _ = await mirror.counted([BOB])
    assert (counted.seq, counted.unread, counted.doubtful) == (0, None, False)
