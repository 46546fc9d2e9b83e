"""``advance`` and ``announce``: members, the cursor, and the bridge's own news."""

from __future__ import annotations

import re
from typing import Any

import orjson

from bridge.events import DIRECTORY, SYSTEM
from bridge.journal.calls import Advance, Announce
from bridge.journal.mirror import Counted
from bridge.journal.script import SOURCE
from bridge.journal.writer import Writer

from .conftest import KEYS, announcement, member_event


async def test_members_events_and_cursor_move_together(redis: Any, writer: Writer, mirror: Any) -> None:
    """One step: profile, slave, event and Ver."""
    call = Advance(
        None, 7, profiles={"a@x.cn": b'{"n":1}'}, slaves={"s@x.cn": "a@x.cn"}, events=[member_event("a@x.cn")]
    )
    [outcome] = await writer.commit([call])
    assert (outcome.result, outcome.seq) == ("published", 1)
    assert await mirror.ver() == 7
    assert await mirror.profiles(["a@x.cn", "b@x.cn"]) == [{"n": 1}, None]
    assert await mirror.slaves() == {"s@x.cn": "a@x.cn"}
    assert await mirror.aliases() == {"a@x.cn"}
    [(entry_id, fields)] = await redis.xrange(KEYS.log(DIRECTORY))
    assert entry_id == b"1-0"
    assert orjson.loads(fields[b"event"])["source"] == "/exmail/directory"


async def test_a_cursor_that_is_elsewhere_moves_nothing(redis: Any, writer: Writer, mirror: Any) -> None:
    """Compare and set: an answer to an old question is refused whole, and its number is used up."""
    await writer.commit([Advance(None, 7)])
    outcomes = await writer.commit([Advance(None, 8, profiles={"a@x.cn": b"{}"}), Advance(7, 9)])
    assert [outcome.result for outcome in outcomes] == ["cursor", "published"]
    assert await mirror.ver() == 9
    assert await mirror.size() == 0
    assert not await redis.exists(KEYS.log(DIRECTORY))


async def test_pieces_leave_the_cursor_where_it_is(writer: Writer, mirror: Any) -> None:
    """Only the last piece of a delta moves it."""
    await writer.commit([Advance(None, 7)])
    await writer.commit([Advance(7, None, profiles={"a@x.cn": b"{}"}, events=[member_event("a@x.cn")])])
    assert await mirror.ver() == 7


async def test_removal_and_a_slave_that_moves(writer: Writer, mirror: Any) -> None:
    """What is removed goes first, so that a slave can go from one account to another in one call."""
    await writer.commit([Advance(None, 1, profiles={"a@x.cn": b"{}", "b@x.cn": b"{}"}, slaves={"s@x.cn": "a@x.cn"})])
    call = Advance(1, 2, removed=["a@x.cn"], slaves={"s@x.cn": "b@x.cn"}, slaves_removed=["s@x.cn"])
    await writer.commit([call])
    assert await mirror.aliases() == {"b@x.cn"}
    assert await mirror.slaves() == {"s@x.cn": "b@x.cn"}


async def test_a_first_fill_is_staged_and_swapped_in(redis: Any, writer: Writer, mirror: Any) -> None:
    """Nothing shows until the swap, which moves the cursor in the same step; an old stage is cleared first."""
    await redis.hset(KEYS.directory_next, "left@x.cn", "{}")
    await writer.commit([Advance(None, None, "next")])
    await writer.commit([Advance(None, None, "next", profiles={"a@x.cn": b"{}"}, slaves={"s@x.cn": "a@x.cn"})])
    await writer.commit([Advance(None, None, "next", profiles={"b@x.cn": b"{}"})])
    assert (await mirror.size(), await mirror.ver()) == (0, None)
    await writer.commit([Advance(None, 9, "swap", events=[member_event("", "exmail.directory.synced")])])
    assert await mirror.aliases() == {"a@x.cn", "b@x.cn"}
    assert await mirror.slaves() == {"s@x.cn": "a@x.cn"}
    assert await mirror.ver() == 9
    assert not await redis.exists(KEYS.directory_next, KEYS.slaves_next)
    # An empty corporation swaps in nothing and leaves nothing.
    await writer.commit([Advance(9, None, "next"), Advance(9, 10, "swap")])
    assert (await mirror.size(), await mirror.ver()) == (0, 10)


async def test_many_profiles_fit_into_one_call(writer: Writer, mirror: Any) -> None:
    """Lua's ``unpack`` would end near 8,000 values; the script does not use it."""
    profiles = {f"u{number}@x.cn": b"{}" for number in range(5000)}
    await writer.commit([Advance(None, 1, profiles=profiles, removed=list(profiles)[:2500])])
    assert await mirror.size() == 5000


async def test_announcements_have_positions_of_their_own(redis: Any, writer: Writer, mirror: Any) -> None:
    """The hash and the event in one step."""
    outcomes = await writer.commit([announcement(state="connected", since="1"), announcement("exmail.upstream.missed")])
    assert [outcome.seq for outcome in outcomes] == [1, 2]
    assert (await mirror.upstream()).items() >= {"state": "connected", "since": "1"}.items()
    assert await redis.xlen(KEYS.log(SYSTEM)) == 2
    assert isinstance(announcement(), Announce)


async def test_active_mailboxes_are_the_newest_first(writer: Writer, mirror: Any) -> None:
    """Who is asked for after a gap; announcements have no mailbox."""
    from .conftest import mail

    await writer.commit([mail("Z1", 1, "a@x.cn"), mail("Z1", 1, "b@x.cn"), announcement(), mail("Z2", 2, "a@x.cn")])
    assert await mirror.active() == ["a@x.cn", "b@x.cn"]


async def test_seqs_are_zero_where_a_generation_has_gone(redis: Any, writer: Writer, mirror: Any) -> None:
    """What a poll is compared with."""
    from .conftest import mail

    await writer.commit([mail("Z1", 4, "a@x.cn")])
    [stored, absent], _ = await mirror.counted(["a@x.cn", "b@x.cn"])
    assert (stored.seq, stored.unread, stored.doubtful) == (1, 4, False)
    assert stored.as_of is not None
    nothing = Counted(0, None, None, doubtful=False)
    assert absent == nothing
    await redis.set(KEYS.generation, writer.generation + 1)
    # Mails may be missing between a count of then and now.
    assert (await mirror.counted(["a@x.cn"]))[0] == [Counted(0, None, None, doubtful=True)]


def test_keys_are_literal() -> None:
    """Managed Redis refuses computed key arguments: every KEYS has a literal number."""
    code = "\n".join(line.split("--")[0] for line in SOURCE.decode().splitlines())
    assert re.findall(r"KEYS\[(?!\d+\])", code) == []
    assert "#KEYS" not in code
    commands = re.findall(r"redis\.call\('(\w+)', ([^,)]+)", code)
    keyless = {"TIME", "INFO", "PUBLISH"}
    assert [call for call in commands if call[0] not in keyless and not re.fullmatch(r"KEYS\[\d+\]", call[1])] == []


async def test_an_unknown_verb_changes_nothing(redis: Any, writer: Writer) -> None:
    """A newer program's verb on an older script."""
    from bridge.journal.script import Script

    lease = (await redis.get(KEYS.lease)).decode()
    keys = (KEYS.lease, KEYS.commits, KEYS.generation, KEYS.state(SYSTEM))
    [answer] = await Script(redis).run([(keys, ("dance", lease, 1, "abcdefgh", ""))])
    assert answer[:2] == [0, b"verb"]


async def test_a_server_that_forgot_the_script_is_told_again(redis: Any, writer: Writer) -> None:
    """NOSCRIPT in mid-life: all calls are sent again, each applies once."""
    from .conftest import mail

    await redis.script_flush()
    outcomes = await writer.commit([mail("Z1"), mail("Z2")])
    assert [outcome.result for outcome in outcomes] == ["published", "published"]
