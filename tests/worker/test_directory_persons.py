"""An address that comes to mean another person: nothing of the former stays, and it is known when that was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from bridge.journal.reader import OpenRequest, Reader
from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from tests.support.stage import count, mail
from tests.support.workers import BOB, KEYS, Told, running_worker

from .conftest import Parts, pulled

SLAVE, OTHER_SLAVE = "robert@gzdev.com", "bobby@gzdev.com"
NEW = "new@gzdev.com"

Pull = Callable[[], Awaitable[None]]


@pytest.fixture
async def directory(parts: Parts, simulator: Simulator) -> Directory:
    simulator.world.modify_user(BOB, slaves=(SLAVE,))
    directory = await parts.directory()
    await pulled(directory)
    return directory


@pytest.fixture
def pull(directory: Directory) -> Pull:
    async def look() -> None:
        directory.doubt()
        await pulled(directory)

    return look


async def pushed(parts: Parts, directory: Directory, *mailboxes: str) -> Directory:
    """Mails are recorded for them, by another leader; the directory of that one."""
    writer = await parts.writer()
    await writer.commit([call for each in mailboxes for call in (mail(f"Z-{each}", 7, each), count(7, each))])
    after = await parts.directory()
    await pulled(after)
    return after


async def moved(parts: Parts) -> set[str]:
    return {address.decode() for address in await parts.redis.zrange(KEYS.moved, 0, -1)}


async def kept(parts: Parts, address: str) -> int:
    return int(await parts.redis.exists(KEYS.log(address), KEYS.seen(address)))


async def look(directory: Directory) -> None:
    directory.doubt()
    await pulled(directory)


async def test_a_push_after_a_deletion_is_not_shown_to_the_next_holder(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """Nor is anything before it; his count is asked for instead."""
    simulator.world.delete_user(BOB)
    await pull()
    directory = await pushed(parts, directory, BOB)
    assert await kept(parts, BOB) == 2
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert await parts.redis.smembers(KEYS.wanted) == {BOB.encode()}
    [opened] = await Reader(parts.redis, KEYS, history_events=9, history_s=99).open([OpenRequest(BOB)])
    assert (opened.unread, opened.events) == (None, [])
    assert BOB in await moved(parts)


async def test_deleted_and_made_anew_within_one_delta_is_another_person(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """The address goes on without a gap; his history does not."""
    other = list(simulator.world.accounts)[-1]
    directory = await pushed(parts, directory, BOB, other)
    simulator.world.delete_user(BOB)
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert await kept(parts, other) == 2
    assert await moved(parts) == {BOB, SLAVE}
    assert [data["profile"]["name"] for data in await told.data("directory.user.updated")] == ["Another Bob"]


async def test_a_deletion_that_is_followed_by_an_addition_is_another_person_before_any_second_look(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Two deltas, two seconds apart at most: the second look must not find the new holder and keep the old history."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    assert BOB in await parts.mirror.owed()
    simulator.world.add_user(BOB, name="Another Bob")
    await look(directory)
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert await parts.mirror.barred() & {BOB} == set()
    assert await parts.mirror.owed() == {}


async def test_a_new_holder_who_cannot_be_read_yet_is_another_person_when_he_is(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Until then nobody opens it: the former has no right any more, and who has is not known."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    simulator.world.add_user(BOB, name="Another Bob")
    simulator.faults.on(Kind.GET_LATE, value=3600)
    await look(directory)
    owed = (await parts.mirror.owed())[BOB]
    assert (owed.why, owed.barred, owed.anew) == ("missing", True, True)
    assert BOB in await parts.mirror.barred()
    simulator.faults.clear()
    await pulled(await parts.directory())
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert BOB not in await parts.mirror.barred()
    assert await parts.mirror.owed() == {}


async def test_what_is_owed_of_a_new_holder_outlives_a_further_line(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Made anew, not to be read, deleted again by a line that the second look contradicts: it is another person."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    world = simulator.world
    world.delete_user(BOB)
    world.add_user(BOB)
    simulator.faults.on(Kind.GET_LATE, value=3600)
    await look(directory)
    world.delete_user(BOB)
    await look(directory)
    assert (await parts.mirror.owed())[BOB].why == "deleted"
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"Another Bob"}}')
    await pulled(await parts.directory())
    assert await kept(parts, BOB) == 0
    assert BOB in await moved(parts)
    assert BOB not in await parts.mirror.barred()
    assert await parts.mirror.owed() == {}


async def test_who_is_merely_disabled_keeps_his_history(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Switched off and on again, he is the same."""
    directory = await pushed(parts, directory, BOB)
    for open_type in (2, 1):
        simulator.world.modify_user(BOB, open_type=open_type)
        await look(directory)
    assert await kept(parts, BOB) == 2
    assert await moved(parts) == set()


async def test_a_new_holder_of_whom_it_is_not_said_that_he_is_disabled_is_let_in(
    parts: Parts, simulator: Simulator, directory: Directory, pull: Pull
) -> None:
    """``OpenType`` left out: that the former was deleted says nothing of him."""
    simulator.world.delete_user(BOB)
    await pull()
    simulator.world.add_user(BOB)
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"Bob"}}')
    await look(directory)
    assert BOB in await parts.mirror.aliases()
    assert BOB not in await parts.mirror.barred()


async def test_who_comes_and_goes_within_one_delta_leaves_nothing_to_the_next(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """He never was in the mirror, but mails were pushed for him."""
    simulator.world.add_user(NEW)
    simulator.world.delete_user(NEW)
    directory = await pushed(parts, directory, NEW)
    assert await kept(parts, NEW) == 0
    assert NEW in await parts.mirror.barred()
    simulator.world.add_user(NEW)
    await look(directory)
    assert NEW in await moved(parts)
    assert NEW not in await parts.mirror.barred()


async def test_what_outran_an_account_s_addition_is_shown(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory
) -> None:
    """Nobody had the address before, so the mail is the new one's."""
    simulator.world.add_user(NEW)
    directory = await pushed(parts, directory, NEW)
    assert await kept(parts, NEW) == 2
    assert await moved(parts) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([("modify", BOB, (SLAVE, OTHER_SLAVE))], {OTHER_SLAVE}, id="given"),
        pytest.param([("modify", BOB, ())], {SLAVE}, id="taken away"),
        pytest.param([("modify", BOB, ()), ("modify", "other", (SLAVE,))], {SLAVE}, id="handed on"),
        pytest.param([("modify", BOB, ()), ("add", SLAVE, ())], {SLAVE}, id="becomes an account"),
        pytest.param([("swap", BOB, (SLAVE,))], {BOB, SLAVE}, id="becomes the main address"),
        pytest.param([("delete", BOB, ()), ("modify", "other", (BOB,))], {BOB, SLAVE}, id="account becomes alias"),
        pytest.param([("rename", BOB, ())], set(), id="something else changes"),
    ],
)
async def test_an_alias_that_changes_hands_has_moved(
    parts: Parts, simulator: Simulator, directory: Directory, changes: Sequence[Any], expected: set[str]
) -> None:
    """In the step of the change, and whatever is kept under the address itself is gone."""
    world, other = simulator.world, list(simulator.world.accounts)[-1]
    directory = await pushed(parts, directory, SLAVE, OTHER_SLAVE)
    for what, alias, slaves in changes:
        match what:
            case "modify":
                world.modify_user(other if alias == "other" else alias, slaves=slaves)
            case "add":
                world.add_user(alias)
            case "swap":
                world.swap_alias(alias, slaves[0])
            case "delete":
                world.delete_user(alias)
            case "rename":
                world.modify_user(alias, name="Robert")
    await look(directory)
    assert await moved(parts) == expected
    for address in {SLAVE, OTHER_SLAVE} & expected:
        assert await kept(parts, address) == 0


async def test_a_main_address_that_became_an_alias_is_open_at_once(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """It is another's by the word of two: the line, and the profile that names it. Nobody waits for the second look."""
    directory = await parts.directory(second_look_s=3600)
    simulator.world.swap_alias(BOB, SLAVE)
    await look(directory)
    assert parts.slaves == {BOB: SLAVE} | {s: a for s, a in parts.slaves.items() if s != BOB}
    assert await parts.mirror.barred() == set()
    assert {alias: each.why for alias, each in (await parts.mirror.owed()).items()} == {BOB: "deleted"}


async def test_an_address_of_somebody_who_is_leaving_can_be_given_away(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """In a later answer, before the second look: the line and the profile agree that it is the other's."""
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    assert await parts.mirror.barred() == {BOB}
    other = list(simulator.world.accounts)[-1]
    simulator.world.modify_user(other, slaves=(BOB,))
    await look(directory)
    assert parts.slaves[BOB] == other
    assert await parts.mirror.barred() == set()
    await pulled(await parts.directory())
    assert BOB not in await parts.mirror.aliases()
    assert parts.slaves[BOB] == other
    assert await parts.mirror.barred() == {SLAVE}


async def test_a_main_address_that_another_claims_keeps_its_history_until_the_second_look(
    parts: Parts, simulator: Simulator, directory: Directory
) -> None:
    """Both the line and the other's profile may be wrong: then it is the account's again, as it was."""
    await pushed(parts, directory, BOB)
    directory = await parts.directory(second_look_s=3600)
    other = list(simulator.world.accounts)[-1]
    simulator.world.delete_user(BOB)
    simulator.world.modify_user(other, slaves=(BOB,))
    await look(directory)
    assert parts.slaves[BOB] == other
    simulator.faults.on(
        Kind.ANSWER, endpoint="user/get", value=f'{{"Alias":"{BOB}","Name":"Bob","OpenType":1,"SlaveList":"{SLAVE}"}}'
    )
    await pulled(await parts.directory())
    assert await kept(parts, BOB) == 2
    assert BOB not in parts.slaves
    assert parts.slaves[SLAVE] == BOB
    assert await parts.mirror.barred() == set()


async def test_a_new_holder_who_is_listed_and_refused_is_not_let_in(
    parts: Parts, simulator: Simulator, told: Told, directory: Directory, pull: Pull
) -> None:
    """Deleted long ago, added, and not to be read: who it is, and whether he is enabled, nobody knows yet."""
    simulator.world.delete_user(BOB)
    await pull()
    simulator.world.add_user(BOB, open_type=2)
    simulator.faults.on(Kind.ERRCODE, endpoint="user/get", value=1999)
    await look(await parts.directory(second_look_s=3600))
    assert BOB in await parts.mirror.barred()
    assert BOB not in await parts.mirror.aliases()
    assert BOB in await parts.mirror.owed()
    simulator.faults.clear()
    await pulled(await parts.directory())
    assert BOB in await parts.mirror.aliases()
    assert BOB in await parts.mirror.barred()
    assert BOB in await moved(parts)


async def test_mails_for_a_new_holder_before_the_bridge_knew_him_are_missed(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """The whole way: deleted, made anew, a mail that outruns it; he is told how many there were, and shown none."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        world.deliver_mail(BOB, subject="for the former")
        await told.wait_mails(1)
        # The provider's listing lags behind its pushes.
        simulator.faults.on(Kind.LIST_EMPTY, endpoint="user/list")
        world.delete_user(BOB)
        world.add_user(BOB, name="Another Bob")
        world.deliver_mail(BOB, subject="for the new one")
        await told.wait_mails(2)
        simulator.faults.clear()
        world.modify_user(BOB, position="boss")
        missed = await told.wait("mail.missed")
        assert [(data["mailbox"], data["at_least"]) for data in missed] == [(BOB, 1)]
        log = [fields[b"event"] for _, fields in await told.redis.xrange(KEYS.log(BOB))]
        assert not [event for event in log if b"mail_id" in event]
