"""Whose answer is owed, which addresses came to mean another person, and what a new holder is given."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.calls import Advance, Forget
from bridge.journal.held import Held
from bridge.journal.mirror import Mirror
from bridge.journal.owed import Owed, read_owed
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, mail, poll

ANN = "ann@gzdev.com"


async def test_what_is_owed_is_stored_with_the_cursor_and_settled(writer: Writer, mirror: Mirror) -> None:
    """In one step with the Ver that moves past it; a cursor that is elsewhere leaves it alone."""
    gone, refused = Owed(1795497613538, "deleted", barred=True), Owed(1795497613539, "refused 1999")
    await writer.commit([Advance(None, 7, owed={BOB: gone.as_json(), ANN: refused.as_json()}, barred=[BOB])])
    assert await mirror.owed() == {BOB: gone, ANN: refused}
    assert (gone.is_gone, refused.is_gone) == (True, False)
    assert read_owed(b'{"since":1,"why":"absent"}') == Owed(1, "absent")
    for odd in (b"", b"[]", b"7", b"{}", b'{"since":"x","why":1}', b"\xff"):
        assert read_owed(odd) == Owed(0, "unreadable")
    await writer.commit([Advance(6, 8, settled=[BOB])])
    assert await mirror.owed() == {BOB: gone, ANN: refused}
    await writer.commit([Advance(7, 8, settled=[BOB], owed={ANN: gone.as_json()})])
    assert await mirror.owed() == {ANN: gone}


async def test_an_address_that_moved_has_the_moment_of_it(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """By Redis's clock, in ms; the last time counts, and what is older than a season is let go."""
    await redis.zadd(KEYS.moved, {"old@x.cn": 1.0, ANN: 1.0})
    before = await mirror.now_ms()
    await writer.commit([Advance(None, 1, slaves={ANN: BOB}, moved=[ANN, "s@x.cn"])])
    after = await mirror.now_ms()
    found = {address.decode(): when for address, when in await redis.zrange(KEYS.moved, 0, -1, withscores=True)}
    assert found.keys() == {ANN, "s@x.cn"}
    assert all(before <= when <= after for when in found.values())
    await writer.commit([Advance(1, 2, slaves={"t@x.cn": BOB})])
    assert await redis.zscore(KEYS.moved, ANN) == found[ANN]
    assert await redis.zscore(KEYS.moved, "t@x.cn") is None


async def test_a_cursor_elsewhere_moves_no_address(redis: Any, writer: Writer) -> None:
    """Compare and set covers it like the rest."""
    await writer.commit([Advance(3, 4, moved=[ANN])])
    assert not await redis.exists(KEYS.moved)


async def test_a_new_holder_begins_empty_and_his_count_is_asked_for(redis: Any, writer: Writer, reader: Reader) -> None:
    """The former's history is gone, a browser is not told a count of his, and the count is wanted at once."""
    await writer.commit([mail("Z1", 9)])
    await writer.commit([Forget(BOB, anew=True)])
    assert await redis.smembers(KEYS.wanted) == {BOB.encode()}
    [opened] = await reader.open([OpenRequest(BOB)])
    assert (opened.unread, opened.events, opened.top.seq) == (None, [], 0)


@pytest.mark.parametrize("pushed_after", [0, 2])
async def test_what_was_pushed_for_a_new_holder_too_early_is_missed(
    redis: Any, writer: Writer, mirror: Mirror, pushed_after: int
) -> None:
    """His mailbox began empty, so all that the count shows beyond what he was told was pushed before; said once."""
    await writer.commit([mail("Z1", 1), Forget(BOB, anew=True)])
    for number in range(pushed_after):
        await writer.commit([mail(f"N{number}", 2 + number)])
    unread = 1 + pushed_after
    for sure in (False, True, True):
        [stored], _ = await mirror.counted([BOB])
        [outcome] = await writer.commit([poll(unread, stored.seq, sure=sure)])
        assert outcome.missed == (1 if stored.doubtful else 0)
    told = [fields for _, fields in await redis.xrange(KEYS.events) if fields[b"type"] == b"exmail.mail.missed"]
    assert [b'"at_least":1}' in fields[b"event"] for fields in told] == [True]


async def test_a_stage_remembers_its_beginning(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """Until it is emptied or swapped in; a piece in which nobody could be read empties nothing."""
    await writer.commit([Advance(None, None, "next", profiles={BOB: b"{}"}, stage="7:abc")])
    await writer.commit([Advance(None, None, "next", owed={ANN: Owed(1, "missing").as_json()})])
    assert await mirror.staged() == ("7:abc", {BOB})
    assert await mirror.owed() == {ANN: Owed(1, "missing")}
    await writer.commit([Advance(None, None, "next")])
    assert await mirror.staged() == ("", set())
    await writer.commit([Advance(None, None, "next", profiles={BOB: b"{}"}, stage="8:abc"), Advance(None, 8, "swap")])
    assert await mirror.staged() == ("", set())
    assert await mirror.aliases() == {BOB}


def test_a_digest_names_exactly_what_is_held() -> None:
    """In any order, and nobody more or less."""
    held = Held(1, 2, 3, "delta", "", (BOB, ANN))
    assert held.digest == Held(9, None, 4, "full", "x", (ANN, BOB)).digest
    assert held.digest != Held(1, 2, 3, "delta", "", (BOB,)).digest
    assert held.digest != Held(1, 2, 3, "delta", "", (BOB, ANN, "c@x.cn")).digest
