"""Mails missed where more than one thing is in doubt: the server, its clock, the connection that nobody found dead."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.mirror import Mirror
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.writer import Writer

from .conftest import BOB, KEYS, announcement, count, mail, poll
from .test_missed_mails import STATE, asked, seq, told

RESTORED = "0" * 40


@pytest.fixture(autouse=True)
async def five_unread(writer: Writer) -> None:
    """Bob has five unread mails before anything happens."""
    await writer.commit([count(5)])


async def gap(writer: Writer) -> None:
    await writer.commit([announcement("exmail.upstream.missed", gap="+1")])


async def after_a_reboot(redis: Any, new_writer: Any, *, lost: bool = False) -> Writer:
    """Redis was stopped and started in order, and so was the worker: another run id, nobody remembers.

    ``lost``: a dump of yesterday was loaded, and the fence that was seen before says so.
    """
    writer: Writer = new_writer()
    await redis.delete(KEYS.lease)
    if lost:
        writer._seen_fence = 9
    await redis.set(KEYS.server, RESTORED)
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation
    return writer


async def missed(redis: Any) -> list[int]:
    return [data["at_least"] for kind, data in await told(redis) if kind == "missed"]


# -- over a generation that began although nothing was lost


async def test_after_a_reboot_each_learns_what_he_missed(redis: Any, new_writer: Any) -> None:
    """The count of the generation before is the last that was true."""
    writer = await after_a_reboot(redis, new_writer)
    await writer.commit([mail("Z1", 8)])
    outcome = await asked(redis, writer, 8, sure=False)
    assert (outcome.missed, outcome.pending) == (2, True)
    assert (await asked(redis, writer, 8)).missed == 2
    entries = await redis.xrange(KEYS.events)
    assert sum(fields[b"type"] == b"exmail.mail.missed" for _, fields in entries) == 1


async def test_whoever_opens_first_keeps_the_base(redis: Any, new_writer: Any, reader: Reader, mirror: Mirror) -> None:
    """``open`` begins the mailbox's new epoch; its count is asked for, and compared with the old one."""
    writer = await after_a_reboot(redis, new_writer)
    [opened] = await reader.open([OpenRequest(BOB, ask=True)])
    assert (opened.unread, opened.events) == (None, [])
    assert await redis.smembers(KEYS.wanted) == {BOB.encode()}
    await asked(redis, writer, 7, sure=False)
    assert (await asked(redis, writer, 7)).missed == 2


async def test_the_base_outlives_two_generations(redis: Any, new_writer: Any, reader: Reader) -> None:
    """Nobody could ask in between."""
    await after_a_reboot(redis, new_writer)
    await reader.open([OpenRequest(BOB)])
    await redis.set(KEYS.server, RESTORED)
    writer = await after_a_reboot(redis, new_writer)
    await asked(redis, writer, 6, sure=False)
    assert (await asked(redis, writer, 6)).missed == 1


async def test_after_a_proven_loss_an_old_count_accuses_nobody(redis: Any, new_writer: Any) -> None:
    """It may be older than mails that were announced."""
    writer = await after_a_reboot(redis, new_writer, lost=True)
    [outcome] = await writer.commit([poll(8, 0, sure=True)])
    assert (outcome.result, outcome.missed, outcome.pending) == ("published", 0, False)


# -- whatever the clock says


async def test_a_gap_counts_on_a_server_whose_clock_is_behind(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """Gaps are numbered; the time of the count before may be later than that of the gap."""
    await redis.hset(STATE, "as_of", 4_000_000_000_000)
    await gap(writer)
    [stored], _ = await mirror.counted([BOB])
    assert stored.doubtful
    await asked(redis, writer, 9, sure=False)
    assert (await asked(redis, writer, 9)).missed == 4


async def test_a_count_of_before_the_numbers_is_doubtful(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """Data of an older release have no number beside the count: none is 0, and their gap was a time."""
    await redis.hdel(STATE, "gap")
    assert not (await mirror.counted([BOB]))[0][0].doubtful
    await redis.hset(KEYS.upstream, "gap", 1_795_000_000_000)
    assert (await mirror.counted([BOB]))[0][0].doubtful


# -- a connection that is dead, and nobody knows yet


async def test_a_rise_by_a_poll_is_missed_if_a_gap_comes_before_a_sign_of_life(redis: Any, writer: Writer) -> None:
    """The poll took the higher count; the gap that is found later reaches back before it."""
    outcome = await asked(redis, writer, 7, sure=False)
    assert (outcome.result, outcome.missed, outcome.pending) == ("published", 0, True)
    await gap(writer)
    await asked(redis, writer, 7, sure=False)
    assert (await asked(redis, writer, 7)).missed == 2
    assert await missed(redis) == [2]


async def test_a_rise_by_a_poll_is_just_a_count_where_the_connection_lives(redis: Any, writer: Writer) -> None:
    """Heard of since: nothing was missed, a mail was marked as unread."""
    await asked(redis, writer, 7, sure=False)
    outcome = await asked(redis, writer, 7)
    assert (outcome.result, outcome.missed, outcome.pending) == ("unchanged", 0, False)
    await gap(writer)
    assert not (await asked(redis, writer, 7)).missed
    assert await missed(redis) == []


async def test_a_second_rise_is_suspected_from_the_first_on(redis: Any, writer: Writer) -> None:
    """Each sure answer clears what was before it; an unsure one keeps the oldest base."""
    await asked(redis, writer, 6, sure=False)
    await asked(redis, writer, 8, sure=False)
    await gap(writer)
    await asked(redis, writer, 8, sure=False)
    assert (await asked(redis, writer, 8)).missed == 3


async def test_what_rose_behind_the_sign_of_life_is_suspected_anew(redis: Any, writer: Writer) -> None:
    """The first rise is explained, what came on top is not."""
    await asked(redis, writer, 6, sure=False)
    assert (await asked(redis, writer, 8)).pending
    await gap(writer)
    await asked(redis, writer, 8, sure=False)
    assert (await asked(redis, writer, 8)).missed == 2


async def test_mails_that_are_pushed_after_all_are_not_missed(redis: Any, writer: Writer) -> None:
    """The pushes were slower than the poll."""
    await asked(redis, writer, 7, sure=False)
    await writer.commit([mail("Z1", 6), mail("Z2", 7)])
    await gap(writer)
    await asked(redis, writer, 7, sure=False)
    outcome = await asked(redis, writer, 7)
    assert (outcome.missed, outcome.pending) == (0, False)


async def test_an_answer_that_was_overtaken_changes_nothing(redis: Any, writer: Writer) -> None:
    """Neither the count nor when it was true."""
    at = await seq(redis)
    await writer.commit([mail("Z1", 6)])
    before = await redis.hgetall(STATE)
    [outcome] = await writer.commit([poll(9, at, sure=True)])
    assert outcome.result == "moved"
    assert await redis.hgetall(STATE) == before


# -- what ends a doubt, and what does not


@pytest.mark.parametrize("sure", [False, True])
async def test_an_answer_that_agrees_with_what_is_stored_ends_the_doubt(
    redis: Any, writer: Writer, mirror: Mirror, sure: bool
) -> None:
    """The first one: nothing is missing, so there is nothing to be sure of, and nobody is asked again."""
    await gap(writer)
    [before], _ = await mirror.counted([BOB])
    outcome = await asked(redis, writer, 5, sure=sure)
    [after], _ = await mirror.counted([BOB])
    assert (before.doubtful, outcome.result, after.doubtful) == (True, "unchanged", False)
    assert await redis.hget(STATE, "base") is None


async def test_a_count_that_comes_with_a_mail_ends_no_doubt(redis: Any, writer: Writer, mirror: Mirror) -> None:
    """It may be older than the mails that were missed: the provider's answer to a question counts."""
    await gap(writer)
    await writer.commit([mail("Z1", unread=6)])
    [stored], _ = await mirror.counted([BOB])
    assert stored.doubtful
    await asked(redis, writer, 8)
    assert await missed(redis) == [2]


async def test_a_mail_without_a_count_is_not_missed_where_a_gap_is_found_later(redis: Any, writer: Writer) -> None:
    """It was announced, though the stored count does not know of it."""
    await writer.commit([mail("Z1", unread=None)])
    await asked(redis, writer, 6, sure=False)
    await gap(writer)
    await asked(redis, writer, 6)
    assert await missed(redis) == []
