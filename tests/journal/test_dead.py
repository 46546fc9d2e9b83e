"""Dead documents in the journal: each branch of the script, and the reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from bridge.journal.calls import Bury, Retention, Scrub
from bridge.journal.dead import DeadDocuments, is_entry_id, names_any
from bridge.journal.errors import LeaseLost
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, count, mail, poll

ANN = "ann@gzdev.com"
WEEK_MS = 7 * 86_400_000


@pytest.fixture
def dead(redis: Redis) -> DeadDocuments:
    return DeadDocuments(redis, KEYS)


def bury(document: bytes, size: int | None = None) -> Bury:
    return Bury("bad-json", len(document) if size is None else size, document, "whole" if size is None else "cut")


async def kept(dead: DeadDocuments) -> list[bytes]:
    """What is kept, the newest first."""
    return [each.document async for each in dead.newest()]


async def test_a_document_is_kept_byte_for_byte(redis: Any, writer: Writer, dead: DeadDocuments) -> None:
    """With its reason, its size and Redis's time; it is no event and wakes nobody."""
    hostile = bytes(range(256)) + b'"\r\n*3\r\n'
    [outcome] = await writer.commit([bury(hostile, 10_000_000)])
    assert outcome.result == "unchanged"
    [found] = [each async for each in dead.newest()]
    assert (found.reason, found.size, found.kept, found.document) == ("bad-json", 10_000_000, "cut", hostile)
    seconds, _ = await redis.time()
    assert abs(found.time_s - seconds) < 60
    assert not await redis.exists(KEYS.events)
    assert 0 < await redis.pttl(KEYS.dead) <= WEEK_MS


async def test_the_newest_are_kept(new_writer: Callable[..., Writer], dead: DeadDocuments) -> None:
    """By count, exactly; 0 keeps none."""
    writer = new_writer(retention=Retention(dead_max=3))
    await writer.claim()
    await writer.commit([bury(b"%d" % number) for number in range(5)])
    assert await kept(dead) == [b"4", b"3", b"2"]
    assert await dead.count() == 3
    await writer.release()
    none = new_writer(retention=Retention(dead_max=0))
    await none.claim()
    await none.commit([bury(b"5")])
    assert await kept(dead) == []


async def test_old_ones_go_when_another_comes(redis: Any, writer: Writer, dead: DeadDocuments) -> None:
    """By age, exactly; where none comes the whole stream goes."""
    seconds, _ = await redis.time()
    for age_ms in (WEEK_MS + 60_000, WEEK_MS - 60_000):
        fields = {"reason": "bad-json", "size": "1", "kept": "whole", "document": str(age_ms)}
        await redis.xadd(KEYS.dead, fields, id=f"{seconds * 1000 - age_ms}-0")
    await writer.commit([bury(b"new")])
    assert await kept(dead) == [b"new", b"%d" % (WEEK_MS - 60_000)]
    assert 0 < await redis.pttl(KEYS.dead) <= WEEK_MS


async def test_scrubbing_takes_out_these_alone(redis: Any, writer: Writer, dead: DeadDocuments) -> None:
    """Of this stream, by id; an id that is not there is no fault, and other streams keep theirs."""
    await writer.commit([mail("Z1"), *(bury(b"%d" % number) for number in range(4))])
    ids = [each.id.encode() async for each in dead.newest()]
    [outcome] = await writer.commit([Scrub("dead", [ids[0], ids[2], b"1-1"])])
    assert outcome.result == "unchanged"
    assert await kept(dead) == [b"2", b"0"]
    assert await redis.xlen(KEYS.events) == 1


@pytest.mark.parametrize("known", [False, True])
async def test_a_mail_that_was_read_after_all_leaves_the_stream(
    redis: Any, writer: Writer, dead: DeadDocuments, known: bool
) -> None:
    """In the step that records it, also where it was known already; the others stay."""
    await writer.commit([bury(b"a"), bury(b"b")] + ([mail("Z1", 3)] if known else []))
    first = [each async for each in dead.newest()][1]
    call = msgspec.structs.replace(mail("Z1", None), dead=first.id)
    [outcome] = await writer.commit([call])
    assert outcome.result == ("duplicate" if known else "published")
    assert await kept(dead) == [b"b"]
    assert await redis.xlen(KEYS.events) == 1
    [again] = await writer.commit([call])
    assert again.result == "duplicate"
    assert await kept(dead) == [b"b"]


async def test_a_refused_call_takes_nothing_out(
    redis: Any, writer: Writer, new_writer: Callable[..., Writer], dead: DeadDocuments
) -> None:
    """A leader that was deposed neither buries nor digs up."""
    await writer.commit([bury(b"a")])
    [first] = [each async for each in dead.newest()]
    await redis.delete(KEYS.lease)
    await new_writer().claim()
    for call in (bury(b"b"), msgspec.structs.replace(mail("Z1"), dead=first.id), Scrub("dead", [first.id.encode()])):
        with pytest.raises(LeaseLost):
            await writer.commit([call])
    assert await kept(dead) == [b"a"]
    assert not await redis.exists(KEYS.events)


async def test_entries_are_read_in_pieces(writer: Writer, dead: DeadDocuments) -> None:
    """None skipped, none twice; as many as asked for; and found by id, in the order asked."""
    await writer.commit([bury(b"%d" % number) for number in range(250)])
    found = [each async for each in dead.newest()]
    assert [each.document for each in found] == [b"%d" % number for number in reversed(range(250))]
    assert [each async for each in dead.newest(120)] == found[:120]
    assert await dead.find([found[3].id, "1-1", found[0].id]) == [found[3], None, found[0]]
    assert await dead.find([]) == []


def test_what_is_an_id() -> None:
    """Two numbers; nothing that means something else to Redis."""
    assert is_entry_id("1795497613538-0")
    assert not [
        text for text in ("", "-", "+", "1", "1-", "1-x", "(1-1", "1-1\n", "١-١", "1" * 30 + "-1") if is_entry_id(text)
    ]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (b'{"UserName":"Bob@GZdev.com"', True),
        (b"text with bob@gzdev.com in it", True),
        (b'{"UserName":"\\u0042ob\\u0040gzdev.com"', True),
        ('{"UserName":"李@gzdev.com"'.encode(), True),
        (b'{"UserName":"\\u674E@gzdev.com"', True),
        (b'{"UserName":"\\u00C4@gzdev.com"', True),
        ('{"UserName":"Ä@gzdev.com"'.encode(), True),
        (b'{"UserName":"rob@gzdev.com"', False),
        (b"", False),
        (b"\\u", False),
        (b"\\ud83d\xff", False),
    ],
)
def test_whom_a_document_names(document: bytes, named: bool) -> None:
    """In any case, escaped or not; it is better to forget too much."""
    assert names_any(document, [BOB.encode(), "李@gzdev.com".encode(), "Ä@gzdev.com".encode()]) == named


async def test_entries_about_an_address_are_found(writer: Writer, mirror: Mirror, dead: DeadDocuments) -> None:
    """Wherever it stands in them."""
    await writer.commit([bury(b'{"UserName":"' + name.encode()) for name in (BOB, ANN, "ROB@gzdev.com", BOB.upper())])
    found = [each.id.encode() async for each in dead.newest()]
    assert await mirror.entries_of("dead", [BOB]) == [found[3], found[0]]


async def test_a_mail_without_its_count_is_news_that_no_count_tells_of(
    redis: Any, writer: Writer, mirror: Mirror, reader: Reader
) -> None:
    """Where pushes may have been missed before the count is asked for, that mail is not taken for a missed one."""
    await writer.commit([count(5), mail("Z1", None)])
    assert (await mirror.counted([BOB]))[0][0].doubtful
    await redis.hset(KEYS.upstream, "gap", 4_000_000_000_000)
    [outcome] = await writer.commit([poll(6, 2, sure=True)])
    assert (outcome.result, outcome.missed) == ("published", 0)
    assert not (await mirror.counted([BOB]))[0][0].doubtful
    await writer.commit([mail("Z2", None, ANN)])
    assert not (await mirror.counted([ANN]))[0][0].doubtful, "nothing is known that could be wrong"
