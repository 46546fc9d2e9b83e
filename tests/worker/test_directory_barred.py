"""Who is disabled or deleted may not be opened, whatever the profile shows of it; a deleted one leaves nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from tests.support.members import fresh, mirrored
from tests.support.stage import count, mail
from tests.support.waiting import PATIENCE_S
from tests.support.workers import BOB, KEYS, Told

from .conftest import ALL_FIELDS, Parts, pulled

SLAVE = "robert@gzdev.com"
DEFAULT_FIELDS = ("alias", "name", "parties", "slaves", "status")

Pull = Callable[[], Awaitable[None]]


@pytest.fixture(params=[ALL_FIELDS, DEFAULT_FIELDS], ids=["all fields", "default fields"])
async def directory(parts: Parts, request: pytest.FixtureRequest) -> Directory:
    directory = await parts.directory(request.param)
    await pulled(directory)
    return directory


@pytest.fixture
def pull(directory: Directory) -> Pull:
    async def look() -> None:
        directory.doubt()
        await pulled(directory)

    return look


async def test_disabling_is_told_and_bars_and_enabling_ends_it(
    parts: Parts, simulator: Simulator, told: Told, pull: Pull
) -> None:
    """``enabled`` is an event's own member: a profile need not hold ``open_type``."""
    for open_type in (2, 1, 2, 1):
        simulator.world.modify_user(BOB, open_type=open_type)
        await pull()
        event = (await told.data("directory.user.updated"))[-1]
        assert event["enabled"] is (open_type == 1)
        assert event["changed"][-1] == "enabled"
        assert await parts.mirror.barred() == ({BOB} if open_type == 2 else set())
    simulator.world.modify_user(BOB, name="Robert")
    await pull()
    event = (await told.data("directory.user.updated"))[-1]
    assert "enabled" not in event
    assert event["changed"] == ["name"]


async def test_an_account_that_is_added_disabled_is_barred(
    parts: Parts, simulator: Simulator, told: Told, pull: Pull
) -> None:
    """Whoever mirrors by events must know it from the first one."""
    simulator.world.add_user("new@gzdev.com", open_type=2)
    simulator.world.add_user("other@gzdev.com")
    await pull()
    added = {data["alias"]: data.get("enabled") for data in await told.data("directory.user.added")}
    assert added == {"new@gzdev.com": False, "other@gzdev.com": None}
    assert await parts.mirror.barred() == {"new@gzdev.com"}


async def test_a_first_fill_bars_who_is_disabled(parts: Parts, simulator: Simulator) -> None:
    """And a later full pull mends what is missing in it."""
    simulator.world.modify_user(BOB, open_type=2)
    directory = await parts.directory()
    await pulled(directory)
    assert await parts.mirror.barred() == {BOB}
    await parts.redis.delete(KEYS.barred)
    directory.doubt()
    await directory.resync()
    assert await parts.mirror.barred() == {BOB}


async def test_a_deleted_account_is_barred_with_its_slaves_until_it_is_back(
    parts: Parts, simulator: Simulator, told: Told, pull: Pull
) -> None:
    """Tokens for it outlive it; a slave that another account takes is opened as that account's."""
    world = simulator.world
    other = list(world.accounts)[-1]
    world.modify_user(BOB, slaves=(SLAVE, "bobby@gzdev.com"))
    await pull()
    world.delete_user(BOB)
    await pull()
    assert await parts.mirror.barred() == {BOB, SLAVE, "bobby@gzdev.com"}
    world.modify_user(other, slaves=(SLAVE,))
    await pull()
    assert await parts.mirror.barred() == {BOB, "bobby@gzdev.com"}
    world.add_user(BOB)
    world.add_user("bobby@gzdev.com")
    await pull()
    assert await parts.mirror.barred() == set()


async def test_a_deleted_account_leaves_no_history_and_no_counts(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Others keep theirs."""
    other = list(simulator.world.accounts)[-1]
    writer = await parts.writer()
    calls: list[Any] = [mail("Z1", mailbox=BOB), mail("Z2", mailbox=other), count(3, BOB), count(4, other)]
    await writer.commit(calls)
    await parts.redis.sadd(KEYS.wanted, BOB, other)
    await parts.redis.zadd(KEYS.online, {BOB: 4e9, other: 4e9})
    directory = await parts.directory()
    await pulled(directory)
    simulator.world.delete_user(BOB)
    directory.version(simulator.world.ver)
    await pulled(directory)
    assert await parts.redis.exists(KEYS.state(BOB), KEYS.log(BOB), KEYS.seen(BOB)) == 0
    assert await parts.redis.exists(KEYS.state(other), KEYS.log(other), KEYS.seen(other)) == 3
    assert await parts.redis.smembers(KEYS.wanted) == {other.encode()}
    assert await parts.redis.zrange(KEYS.online, 0, -1) == [other.encode()]


async def test_forgetting_leaves_no_trace_but_for_others(parts: Parts, simulator: Simulator, told: Told) -> None:
    """History, counts, profile, slaves, and every entry of every stream; not the mails of others that name it."""
    world = simulator.world
    other = list(world.accounts)[-1]
    world.modify_user(BOB, slaves=(SLAVE,))
    directory = await parts.directory()
    await pulled(directory)
    world.modify_user(BOB, name="Robert")
    directory.version(world.ver)
    await pulled(directory)
    writer = await parts.writer()
    await writer.commit([mail("Z1", mailbox=BOB), mail("Z2", mailbox=other, subject=f'"subject":"{BOB}"')])
    await parts.redis.xadd(KEYS.audit, {"mailbox": BOB, "result": "opened"})
    await parts.redis.xadd(KEYS.audit, {"mailbox": other, "result": "opened"})
    directory = await parts.directory()
    heard = parts.redis.pubsub()
    await heard.subscribe(KEYS.kind_channel("directory"))
    # The mail, the update, and the deletion that forgetting tells of: in events, and two of them in the log; a click.
    assert await directory.forget(SLAVE) == (BOB, True, 3 + 2 + 1)
    assert await mirrored(parts.redis) == {
        alias: profile for alias, profile in fresh(world, ALL_FIELDS).items() if alias != BOB
    }
    assert SLAVE not in parts.slaves
    left = [fields for _, fields in await parts.redis.xrange(KEYS.events)]
    assert [fields[b"mailbox"].decode() for fields in left if fields[b"mailbox"]] == [other]
    assert not [fields for fields in left if f'"subject":"{BOB}"'.encode() in fields[b"event"]]
    assert [fields[b"mailbox"].decode() for _, fields in await parts.redis.xrange(KEYS.audit)] == [other]
    named = [key.decode() for key in await parts.redis.keys("*") if BOB in key.decode() or SLAVE in key.decode()]
    assert named == []
    types = [message["data"] for message in [await heard.get_message(timeout=PATIENCE_S) for _ in range(2)] if message]
    await heard.aclose()
    assert b"exmail.directory.user.deleted" in types[-1]


async def test_forgetting_covers_what_was_recorded_under_an_alias(parts: Parts, simulator: Simulator) -> None:
    """Mails that came before the bridge knew whose alias it is stand under the alias itself."""
    simulator.world.modify_user(BOB, slaves=(SLAVE,))
    await pulled(await parts.directory())
    writer = await parts.writer()
    await writer.commit([mail("Z1", mailbox=SLAVE), count(3, SLAVE)])
    directory = await parts.directory()
    await directory.forget(BOB)
    assert not await parts.redis.exists(KEYS.state(SLAVE), KEYS.log(SLAVE), KEYS.seen(SLAVE))
    assert not await parts.redis.hexists(KEYS.slaves, SLAVE)


async def test_forgetting_twice_or_somebody_unknown_is_no_fault(parts: Parts, directory: Directory, told: Told) -> None:
    """Nobody is told of what nobody knew."""
    await directory.forget(BOB)
    seen = await told.events()
    assert await directory.forget(BOB) == (BOB, False, 0)
    assert await directory.forget("nobody@gzdev.com") == ("nobody@gzdev.com", False, 0)
    assert await told.events() == seen


async def test_a_disabled_account_that_is_forgotten_stays_barred(
    parts: Parts, simulator: Simulator, directory: Directory, pull: Pull
) -> None:
    """Or a token that is still good would be given what is pushed later."""
    simulator.world.modify_user(BOB, open_type=2)
    await pull()
    await directory.forget(BOB)
    assert await parts.mirror.barred() == {BOB}


async def test_what_is_owed_of_a_forgotten_account_is_forgotten_but_for_its_second_look(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Who could not be read is asked for no more; who is said to be gone is looked at, or stays barred for ever."""
    directory = await parts.directory(second_look_s=3600)
    await pulled(directory)
    unread, gone = list(simulator.world.accounts)[:2]
    simulator.world.modify_user(unread, name="New")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999)
    simulator.world.delete_user(gone)
    directory.doubt()
    await pulled(directory)
    assert set(await parts.mirror.owed()) == {unread, gone}
    for alias in (unread, gone):
        await directory.forget(alias)
    assert set(await parts.mirror.owed()) == await parts.mirror.barred() == {gone}
    profile = f'{{"Alias":"{gone}","Name":"Back","OpenType":1}}'
    simulator.faults.clear()
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=profile)
    await pulled(await parts.directory())
    assert await parts.mirror.owed() == {}
    assert await parts.mirror.barred() == set()


async def test_an_account_that_is_forgotten_while_held_is_no_longer_held(parts: Parts, simulator: Simulator) -> None:
    """What is released later does not name it any more."""
    for number in range(15):
        simulator.world.add_user(f"u{number}@gzdev.com")
    directory = await parts.directory()
    await pulled(directory)
    for number in range(7):
        simulator.world.delete_user(f"u{number}@gzdev.com")
    directory.version(simulator.world.ver)
    await pulled(directory)
    await directory.forget("u0@gzdev.com")
    held = await parts.mirror.held()
    assert held is not None
    assert held.aliases == tuple(f"u{number}@gzdev.com" for number in range(1, 7))
