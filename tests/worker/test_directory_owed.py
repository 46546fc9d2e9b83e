"""What the provider owes: a profile that could not be read, and a second look at who is said to be gone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest

from bridge.journal.owed import Owed
from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from bridge.worker.profiles import ManyRefused
from tests.support.members import fresh, mirrored, mirrored_slaves
from tests.support.stage import mail
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker, simulating

from .conftest import ALL_FIELDS, Parts, pulled

DELETED = "directory.user.deleted"
SLAVE = "robert@gzdev.com"
NEW = "new@gzdev.com"
LONG_S = 3600


@pytest.fixture
async def simulator(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    async with simulating(getattr(request, "param", 20)) as running:
        yield running


async def filled(parts: Parts, **pace: float) -> Directory:
    """A directory with a mirror; nobody is looked at a second time by itself."""
    directory = await parts.directory(**{"second_look_s": LONG_S, **pace})
    await pulled(directory)
    return directory


async def look(directory: Directory) -> None:
    directory.doubt()
    await pulled(directory)


async def owed(parts: Parts) -> dict[str, str]:
    found = await parts.mirror.owed()
    assert parts.metric("directory_owed") == len(found)
    return {alias: each.why for alias, each in found.items()}


async def test_one_1301_deletes_nobody(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Listed as changed, and ``user/get`` knows no such account: pushes outrun data. He keeps what he had."""
    directory = await filled(parts)
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    directory = await filled(parts)
    before = await mirrored(parts.redis)
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1301, times=1)
    await look(directory)
    assert await mirrored(parts.redis) == before
    assert await told.data(DELETED) == []
    assert await parts.mirror.barred() == set()
    assert await parts.redis.exists(KEYS.log(BOB))
    assert await owed(parts) == {BOB: "missing"}
    assert directory.cursor == simulator.world.ver
    assert (await parts.mirror.owed())[BOB].since > 0
    await pulled(await parts.directory())
    assert (await mirrored(parts.redis))[BOB]["name"] == "Robert"
    assert await owed(parts) == {}


@pytest.mark.parametrize(
    "fault",
    [
        (Kind.HTTP_STATUS, 200),
        (Kind.ERRCODE, 1999),
        (Kind.ANSWER, '{"Alias":7}'),
        # More than anybody has, and than Redis should be given.
        (Kind.ANSWER, f'{{"Alias":"{BOB}","Name":"{"x" * 70_000}"}}'),
        (Kind.ANSWER, f'{{"Alias":"{BOB}","SlaveList":"{",".join(f"s{n}@x.cn" for n in range(101))}"}}'),
        # A number that no reader of JSON can be expected to hold.
        (Kind.ANSWER, f'{{"Alias":"{BOB}","Name":"\x01","Status":1{"0" * 30}}}'),
    ],
    ids=["page", "refused", "no alias", "long", "many aliases", "huge number"],
)
async def test_what_cannot_be_read_is_asked_again(
    parts: Parts, simulator: Simulator, told: Told, fault: tuple[Kind, int | str]
) -> None:
    """A page of HTML, an unknown errcode, a body without sense: the cursor moves, and nothing is lost behind it."""
    directory = await filled(parts)
    world = simulator.world
    world.modify_user(BOB, open_type=2, slaves=(SLAVE,))
    simulator.faults.on(fault[0], endpoint="user/get", value=fault[1])
    await look(directory)
    assert directory.cursor == world.ver
    assert list(await owed(parts)) == [BOB]
    assert await parts.mirror.barred() == set()
    simulator.faults.clear()
    # Whoever leads next asks; no push, no change, no operator.
    await pulled(await parts.directory())
    assert await parts.mirror.barred() == {BOB}
    assert await mirrored_slaves(parts.redis) == parts.slaves
    assert parts.slaves[SLAVE] == BOB
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await owed(parts) == {}


@pytest.mark.parametrize("simulator", [200], indirect=True)
@pytest.mark.parametrize("fault", [(Kind.HTTP_STATUS, 200), (Kind.ERRCODE, 45009)])
async def test_many_refusals_alike_are_a_fault_of_all(
    parts: Parts, simulator: Simulator, told: Told, fault: tuple[Kind, int]
) -> None:
    """A fill under a limit stops asking, and keeps what it has read; when the limit is over, nobody is incomplete."""
    directory = await parts.directory()
    simulator.faults.on(fault[0], endpoint="user/get", value=fault[1])
    for _ in range(2):
        with pytest.raises(ManyRefused):
            await pulled(directory)
    assert simulator.calls.count("user/get") < 40
    assert not await parts.redis.exists(KEYS.ver)
    simulator.faults.clear()
    await pulled(directory)
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await owed(parts) == {}


@pytest.mark.parametrize("simulator", [60], indirect=True)
async def test_a_fill_that_is_refused_for_long_ends_and_owes_the_rest(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """Three times in vain: they are known by name, and read when it is possible; until then the provider has peace."""
    directory = await parts.directory()
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=60011)
    for _ in range(2):
        with pytest.raises(ManyRefused):
            await pulled(directory)
    await pulled(directory)
    found = await mirrored(parts.redis)
    assert found == {alias: {"alias": alias, "incomplete": True} for alias in simulator.world.accounts}
    assert set(await owed(parts)) == set(found)
    # Not one for each account: those that stopped it, and the first of those that were owed.
    assert simulator.calls.count("user/get") < 60
    simulator.faults.clear()
    await pulled(await parts.directory())
    assert await mirrored(parts.redis) == fresh(simulator.world, ALL_FIELDS)
    assert await owed(parts) == {}


async def test_an_account_that_is_late_comes(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Added, and 1301 for a while: no harm, and no deletion is told of whom nobody knew."""
    directory = await filled(parts)
    simulator.world.add_user(NEW)
    simulator.faults.on(Kind.GET_LATE, value=LONG_S)
    await look(directory)
    assert await owed(parts) == {NEW: "missing"}
    assert NEW not in await mirrored(parts.redis)
    simulator.faults.clear()
    await pulled(await parts.directory())
    assert [data["alias"] for data in await told.data("directory.user.added")] == [NEW]
    assert await told.data(DELETED) == []
    assert await owed(parts) == {}


async def test_who_is_said_to_be_gone_is_barred_until_a_second_look_agrees(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """At once, with the cursor; what he had stays until then."""
    simulator.world.modify_user(BOB, slaves=(SLAVE,))
    await filled(parts)
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    directory = await filled(parts)
    simulator.world.delete_user(BOB)
    await look(directory)
    assert await owed(parts) == {BOB: "deleted"}
    assert await parts.mirror.barred() == {BOB}
    assert directory.cursor == simulator.world.ver
    assert await told.data(DELETED) == []
    assert BOB in await mirrored(parts.redis)
    assert await parts.redis.exists(KEYS.log(BOB))
    await pulled(await parts.directory())
    assert [data["alias"] for data in await told.data(DELETED)] == [BOB]
    assert (await told.data("directory.synced"))[-1]["deleted"] == 1
    assert await parts.mirror.barred() == {BOB, SLAVE}
    assert not await parts.redis.exists(KEYS.log(BOB), KEYS.state(BOB), KEYS.seen(BOB))
    assert await owed(parts) == {}


@pytest.mark.parametrize("says", [True, False], ids=["with OpenType", "without"])
@pytest.mark.parametrize("was_disabled", [False, True])
async def test_a_second_look_that_disagrees_undoes_it(
    parts: Parts, simulator: Simulator, told: Told, was_disabled: bool, says: bool
) -> None:
    """The line was wrong: he may open his mailbox again if he might before, history and all; nobody is told a thing."""
    world = simulator.world
    if was_disabled:
        world.modify_user(BOB, open_type=2)
    await filled(parts)
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    directory = await filled(parts)
    account = world.accounts[BOB]
    world.delete_user(BOB)
    await look(directory)
    assert await parts.mirror.barred() == {BOB}
    profile: dict[str, object] = {"Alias": BOB, "Name": account.name, "Gender": account.gender}
    profile |= {"Position": account.position, "PartyList": ",".join(account.parties), "Status": account.status}
    if says:
        profile["OpenType"] = account.open_type
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=orjson.dumps(profile).decode())
    await pulled(await parts.directory())
    assert await parts.mirror.barred() == ({BOB} if was_disabled else set())
    assert await parts.redis.exists(KEYS.log(BOB)) == 1
    assert await told.data(DELETED, "directory.user.added") == []
    assert (await mirrored(parts.redis))[BOB]["name"] == account.name
    assert await owed(parts) == {}
    assert await parts.redis.zscore(KEYS.moved, BOB) is None


async def test_a_second_look_that_says_nothing_leaves_it_owed(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Refused, or unreadable: he stays barred, and is asked about again."""
    directory = await filled(parts)
    simulator.world.delete_user(BOB)
    await look(directory)
    for kind, value in ((Kind.ERRCODE, 1999), (Kind.HTTP_STATUS, 200), (Kind.ERRCODE, 10001)):
        simulator.faults.on(kind, endpoint="user/get", value=value)
        await pulled(await parts.directory())
        simulator.faults.clear()
        assert await owed(parts) == {BOB: "deleted"}
        assert await parts.mirror.barred() == {BOB}
    assert await told.data(DELETED) == []


async def test_who_stays_unread_is_owed_since_the_first_time(parts: Parts, simulator: Simulator) -> None:
    """That is what the age tells; why may change."""
    directory = await filled(parts)
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999)
    await look(directory)
    first = (await parts.mirror.owed())[BOB]
    assert first.since <= await parts.mirror.now_ms()
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1301)
    await pulled(await parts.directory())
    again = (await parts.mirror.owed())[BOB]
    assert (again.why, again.since) == ("missing", first.since)
    # As of another day: the age is Redis's, whoever leads.
    aged = Owed(first.since - 7_200_000, "missing")
    await parts.redis.hset(KEYS.owed, BOB, aged.as_json())
    await parts.directory(second_look_s=LONG_S)
    assert 7200 <= parts.metric("directory_owed_age_seconds") < 7300


async def test_who_is_said_to_be_gone_is_owed_since_then(parts: Parts, simulator: Simulator) -> None:
    """Not since he was merely unread: from there the second look's time is counted."""
    directory = await filled(parts)
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999)
    await look(directory)
    unread = (await parts.mirror.owed())[BOB]
    await parts.redis.hset(KEYS.owed, BOB, Owed(unread.since - 7_200_000, unread.why).as_json())
    simulator.world.delete_user(BOB)
    await pulled(await parts.directory(second_look_s=LONG_S))
    gone = (await parts.mirror.owed())[BOB]
    assert gone.why == "deleted"
    assert gone.since >= unread.since


async def test_who_is_gone_and_nobodys_alias_any_more_is_barred(parts: Parts, simulator: Simulator) -> None:
    """One answer takes the account away, and the alias from the other whose it was as well."""
    await filled(parts)
    other = list(simulator.world.accounts)[-1]
    await parts.redis.hset(KEYS.slaves, BOB, other)
    simulator.world.modify_user(other, position="elsewhere")
    simulator.world.delete_user(BOB)
    await pulled(await parts.directory(second_look_s=LONG_S))
    assert BOB not in parts.slaves
    assert await parts.mirror.barred() == {BOB}


async def test_what_does_not_say_whose_it_is_keeps_nobody(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Asked for an address that is another's alias by now, the provider may answer with the other's profile.

    One that does not name the address tells nothing of it.
    """
    directory = await filled(parts)
    other = list(simulator.world.accounts)[-1]
    simulator.world.delete_user(BOB)
    await look(directory)
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{other}","Name":"Other","OpenType":1}}')
    await pulled(await parts.directory())
    assert await told.data(DELETED) == []
    assert await owed(parts) == {BOB: "deleted"}
    profile = f'{{"Alias":"{other}","Name":"Other","OpenType":1,"SlaveList":"{BOB}"}}'
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=profile)
    await pulled(await parts.directory())
    assert [data["alias"] for data in await told.data(DELETED)] == [BOB]
    assert (await mirrored(parts.redis))[other] == fresh(simulator.world, ALL_FIELDS)[other]


async def test_a_profile_that_does_not_say_whether_it_is_disabled_unbars_nobody(
    parts: Parts, simulator: Simulator, told: Told
) -> None:
    """``OpenType`` left out: he is what he was."""
    simulator.world.modify_user(BOB, open_type=2)
    directory = await filled(parts)
    simulator.world.modify_user(BOB, name="Robert")
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"Robert"}}')
    await look(directory)
    assert (await mirrored(parts.redis))[BOB]["name"] == "Robert"
    assert await parts.mirror.barred() == {BOB}
    assert [data.get("enabled") for data in await told.data("directory.user.updated")] == [None]


async def test_who_never_was_there_is_not_asked_for_without_end(parts: Parts, simulator: Simulator) -> None:
    """An answer named somebody whom nobody ever had, and ``user/get`` knew none for a day."""
    directory = await filled(parts)
    now_ms = await parts.mirror.now_ms()
    stale = Owed(now_ms - 86_400_001, "missing")
    young = Owed(now_ms - 3_600_000, "missing")
    for alias, each in (("ghost@x.cn", stale), ("late@x.cn", young), (BOB, stale)):
        await parts.redis.hset(KEYS.owed, alias, each.as_json())
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1301)
    await pulled(await parts.directory())
    assert await owed(parts) == {"late@x.cn": "missing", BOB: "missing"}
    assert directory.cursor == simulator.world.ver


@pytest.mark.parametrize("simulator", [100], indirect=True)
async def test_many_second_looks_agree(parts: Parts, simulator: Simulator, told: Told) -> None:
    """A small crowd has left; that none of them is there is what was to be expected, and no fault of all."""
    directory = await filled(parts)
    gone = list(simulator.world.accounts)[-9:]
    for alias in gone:
        simulator.world.delete_user(alias)
    await look(directory)
    assert set(await owed(parts)) == set(gone)
    await pulled(await parts.directory())
    assert sorted(data["alias"] for data in await told.data(DELETED)) == sorted(gone)
    assert await owed(parts) == {}


async def test_a_worker_settles_what_is_owed_by_itself(redis_url: str, simulator: Simulator, told: Told) -> None:
    """After the line the second look is taken, without a push; the age of what is owed is shown."""
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        # Nothing is said of him for as long as this is looked at.
        fault = simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999)
        simulator.world.delete_user(BOB)
        await until(lambda: worker.metric("directory_owed") == 1)
        simulator.faults.end(fault)
        await told.wait(DELETED)
        await until(lambda: worker.metric("directory_owed") == worker.metric("directory_owed_age_seconds") == 0)
