"""Who may look now: what an address means, whose sessions were ended, and for how long that is kept."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.journal.calls import Advance
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalRefused, JournalSpoilt, NotLetIn
from bridge.journal.standing import Asker, Standing, Standings, named
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S

from .conftest import BOB, KEYS

ANN = "ann@gzdev.com"
SLAVE = "robert@gzdev.com"


@pytest.fixture
def standings(redis: Redis) -> Standings:
    return Standings(redis, KEYS)


async def one(standings: Standings, address: str = BOB, session: str = "") -> Standing:
    [found] = await standings.look([Asker(address, session)])
    return found


async def test_whoever_nobody_knows_stands_for_himself(standings: Standings, redis: Any) -> None:
    """By Redis's clock; and nobody is asked about in vain."""
    found = await one(standings)
    seconds, _ = await redis.time()
    assert (found.account, found.barred, found.moved, found.out_until, found.ended) == (BOB, False, None, None, None)
    assert abs(found.at - seconds * 1000) < 60_000
    assert await standings.look([]) == []


async def test_an_address_means_what_the_mirror_says(standings: Standings, writer: Writer) -> None:
    """An alias is its account, barred with it; a change of person is dated."""
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB}, barred=[BOB], moved=[SLAVE])])
    found = await one(standings, SLAVE)
    assert (found.account, found.barred) == (BOB, True)
    assert found.moved is not None
    assert found.moved <= found.at


async def test_an_alias_means_another_person_with_its_account(standings: Standings, writer: Writer, redis: Any) -> None:
    """Somebody else has the account: the alias is his, under the same name. The later of the two changes counts."""
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB}, moved=[BOB])])
    assert (await one(standings, SLAVE)).moved == (await one(standings, BOB)).moved is not None
    at = (await one(standings, BOB)).at
    for alias_at, account_at in ((at - 5, at - 9), (at - 9, at - 5)):
        await redis.zadd(KEYS.moved, {SLAVE: alias_at, BOB: account_at})
        assert (await one(standings, SLAVE)).moved == at - 5
        assert (await one(standings, BOB)).moved == account_at
    await redis.zrem(KEYS.moved, BOB)
    assert (await one(standings, SLAVE)).moved == at - 9


@pytest.mark.parametrize(
    ("mailbox", "session", "out", "in_"),
    [
        ("", "s-1", [(BOB, "s-1"), (ANN, "s-1")], [(BOB, "s-2"), (BOB, "")]),
        (SLAVE, "s-1", [(BOB, "s-1"), (SLAVE, "s-1")], [(ANN, "s-1"), (BOB, "s-2")]),
        (BOB, "", [], [(BOB, "s-1"), (BOB, ""), (ANN, "s-1")]),
    ],
    ids=["a session", "a session and a mailbox", "a mailbox"],
)
async def test_who_is_kept_out(
    standings: Standings,
    writer: Writer,
    mailbox: str,
    session: str,
    out: list[tuple[str, str]],
    in_: list[tuple[str, str]],
) -> None:
    """A session from everything, or from one account by any of its addresses; a mailbox alone bars nobody."""
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB})])
    await standings.kick(mailbox=mailbox, session=session, kept_s=60)
    for asker in out:
        assert (await one(standings, *asker)).is_out
    for asker in in_:
        assert not (await one(standings, *asker)).is_out


async def test_the_connections_of_a_mailbox_are_ended_up_to_now(standings: Standings, writer: Writer) -> None:
    """By an alias, too; who opens later finds when that was, and it is before him."""
    await writer.commit([Advance(None, None, slaves={SLAVE: BOB})])
    before = (await one(standings)).at
    await standings.kick(mailbox=SLAVE, kept_s=60)
    found = await one(standings)
    assert found.ended is not None
    assert before <= found.ended <= found.at
    assert (await one(standings, ANN)).ended is None


async def test_a_longer_absence_is_not_made_shorter(standings: Standings) -> None:
    """Two edges may be set differently, and either may be told twice."""
    await standings.kick(session="s-1", kept_s=3600)
    until = (await one(standings, session="s-1")).out_until
    await standings.kick(session="s-1", kept_s=60)
    assert (await one(standings, session="s-1")).out_until == until


async def test_what_holds_no_longer_goes(standings: Standings, redis: Any) -> None:
    """With the next kick, and all of it when none follows; nothing goes that still holds."""
    await redis.zadd(KEYS.kicked, {"sid:old": 1, "mailbox:old@gzdev.com": 2})
    await standings.kick(session="s-1", kept_s=3600)
    assert await redis.zrange(KEYS.kicked, 0, -1) == [b"sid:s-1"]
    assert 3600 < await redis.ttl(KEYS.kicked) <= 7200
    await standings.kick(session="s-2", kept_s=60)
    assert await redis.ttl(KEYS.kicked) > 3600
    assert (await one(standings, session="s-1")).is_out


async def test_a_kick_wakes_by_the_name_that_counts(standings: Standings, redis: Any) -> None:
    """What is published names what was written, and can be read back."""
    async with redis.pubsub() as heard:
        await heard.subscribe(KEYS.control_channel)
        await heard.get_message(timeout=PATIENCE_S)
        for asked in ((BOB, ""), ("", "s 1 sid:x"), (BOB, "s-1")):
            await standings.kick(mailbox=asked[0], session=asked[1], kept_s=60)
            message = await heard.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)
            assert message is not None
            assert named(message["data"]) == asked
            assert await redis.zscore(KEYS.kicked, message["data"]) is not None


NOW = 1_700_000_000_000
WINDOW_S = 3600


@pytest.mark.parametrize(
    ("moved_ago_s", "issued_ago_s", "elsewhere"),
    [
        (None, None, False),
        (100, None, True),
        (100, 200, True),
        (100, 100, True),
        (100, 50, False),
        (100, -3600, True),
        (WINDOW_S + 1, None, False),
        (WINDOW_S + 1, 99_999, False),
    ],
    ids=[
        "never moved",
        "does not say when it was signed",
        "signed before",
        "signed in that moment",
        "signed after",
        "signed in the future",
        "moved long ago",
        "moved long ago, signed before",
    ],
)
def test_whom_a_credential_means(moved_ago_s: int | None, issued_ago_s: int | None, elsewhere: bool) -> None:
    """Only what was signed after an address changed person means its new holder; for as long as old tokens may live."""
    moved = None if moved_ago_s is None else NOW - moved_ago_s * 1000
    issued = None if issued_ago_s is None else NOW / 1000 - issued_ago_s
    standing = Standing(NOW, BOB, False, moved, None, None)
    assert standing.leads_elsewhere(issued, window_s=WINDOW_S) is elsewhere


async def test_a_value_of_another_kind_is_told_as_that(standings: Standings, redis: Any) -> None:
    """It is nobody's password, and no server that is away."""
    await redis.set(KEYS.kicked, "x")
    with pytest.raises(JournalSpoilt):
        await one(standings)


async def test_a_user_of_yesterdays_file_is_told_what_it_lacks(standings: Standings, redis: Any) -> None:
    """Tried at the start: else every browser would be refused, one by one."""
    await standings.check()
    await redis.execute_command(
        *("ACL", "SETUSER", "old", "on", "nopass", "resetkeys", "+@all", f"~{KEYS.slaves}", f"~{KEYS.barred}")
    )
    url = redis.connection_pool.connection_kwargs["path"]
    weak = RedisAddress(f"unix://{url}", username="old", password=lambda: "x").client(timeout_s=PATIENCE_S)
    try:
        with pytest.raises(JournalRefused, match=r"kicked.*users\.acl") as refused:
            await Standings(weak, KEYS).check()
        assert not isinstance(refused.value, NotLetIn)
    finally:
        await weak.aclose()
        await redis.execute_command("ACL", "DELUSER", "old")
