"""A renamed main address: the history goes on where an ExtId says that it is the same person, and nowhere else."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from bridge.journal.calls import Carry
from bridge.journal.reader import OpenRequest, Reader
from bridge.simulator import Simulator
from bridge.worker.directory import Directory
from bridge.worker.renamed import alone, matched
from tests.support.stage import count, mail
from tests.support.workers import BOB, KEYS, Told

from .conftest import ALL_FIELDS, Parts, pulled

ROBERT, OTHER_SLAVE = "robert@gzdev.com", "bobby@gzdev.com"
DEFAULT_FIELDS = ("alias", "name", "parties", "slaves", "status")


async def employed(parts: Parts, simulator: Simulator, ext_id: str, fields: Collection[str] = ALL_FIELDS) -> Directory:
    """Bob with two aliases and a mail, known to a directory."""
    simulator.world.modify_user(BOB, slaves=(ROBERT, OTHER_SLAVE), ext_id=ext_id)
    await pulled(await parts.directory(fields))
    await (await parts.writer()).commit([mail("Z1", 7, BOB), count(8, BOB)])
    directory = await parts.directory(fields)
    await pulled(directory)
    return directory


async def look(directory: Directory) -> None:
    directory.doubt()
    await pulled(directory)


async def moved(parts: Parts) -> set[str]:
    return {address.decode() for address in await parts.redis.zrange(KEYS.moved, 0, -1)}


async def kept(parts: Parts, address: str) -> int:
    return int(await parts.redis.exists(KEYS.state(address), KEYS.log(address), KEYS.seen(address)))


async def test_the_same_person_goes_on_under_another_address(parts: Parts, simulator: Simulator, told: Told) -> None:
    """Count, history, seen MailIds and positions; by both addresses, and no credential is asked to be newer."""
    directory = await employed(parts, simulator, "E-17")
    reader = Reader(parts.redis, KEYS, history_events=9, history_s=99)
    [before] = await reader.open([OpenRequest(BOB)])
    simulator.world.swap_alias(BOB, ROBERT)
    await look(directory)
    assert (await kept(parts, ROBERT), await kept(parts, BOB)) == (3, 0)
    assert await moved(parts) == set()
    for address in (BOB, ROBERT, OTHER_SLAVE):
        [opened] = await reader.open([OpenRequest(address, before.top)])
        assert (opened.mailbox, opened.status, opened.top, opened.unread) == (ROBERT, "resumed", before.top, 8)
    # What tells of it is what always tells of it.
    changes = await told.events("directory.user.added", "directory.user.deleted")
    types = [(event["type"].rsplit(".", 1)[1], event["data"]["alias"]) for event in changes]
    assert types == [("added", ROBERT), ("deleted", BOB)]
    again, _ = await (await parts.writer()).commit([mail("Z1", 8, ROBERT), mail("Z2", 9, ROBERT)])
    assert again.result == "duplicate"


async def test_a_new_address_that_nobody_had_is_the_same_person_s_too(parts: Parts, simulator: Simulator) -> None:
    """Deleted and added by an HR system, with the ExtId of before; the old address is no alias."""
    directory = await employed(parts, simulator, "E-17")
    simulator.world.delete_user(BOB)
    simulator.world.add_user("bob.smith@gzdev.com", ext_id="E-17")
    await look(directory)
    assert (await kept(parts, "bob.smith@gzdev.com"), await kept(parts, BOB)) == (3, 0)
    assert BOB in await parts.mirror.barred()


async def test_a_deletion_that_came_first_is_part_of_it(parts: Parts, simulator: Simulator) -> None:
    """An HR system deletes today what it adds tomorrow; while the second look is waited for it is one change."""
    await employed(parts, simulator, "E-17")
    directory = await parts.directory(second_look_s=3600)
    simulator.world.delete_user(BOB)
    await look(directory)
    assert (await parts.mirror.owed())[BOB].why == "deleted"
    simulator.world.add_user("bob.smith@gzdev.com", ext_id="E-17")
    await look(directory)
    assert await kept(parts, "bob.smith@gzdev.com") == 3


@pytest.mark.parametrize(
    ("before", "after", "others", "fields"),
    [
        ("", "", None, ALL_FIELDS),
        ("E-17", "E-18", None, ALL_FIELDS),
        ("E-17", "E-17", "before", ALL_FIELDS),
        ("E-17", "E-17", "after", ALL_FIELDS),
        ("E-17", "E-17", None, DEFAULT_FIELDS),
    ],
    ids=["none", "another", "somebody else has it", "somebody else gets it", "not kept"],
)
async def test_without_that_word_it_is_another_person(
    parts: Parts, simulator: Simulator, before: str, after: str, others: str | None, fields: Collection[str]
) -> None:
    """His history ends, and the new address begins with nothing."""
    other = list(simulator.world.accounts)[-1]
    if others == "before":
        simulator.world.modify_user(other, ext_id="E-17")
    directory = await employed(parts, simulator, before, fields)
    simulator.world.swap_alias(BOB, ROBERT)
    simulator.world.modify_user(ROBERT, ext_id=after)
    if others == "after":
        simulator.world.modify_user(other, ext_id="E-17")
    await look(directory)
    assert (await parts.redis.exists(KEYS.log(ROBERT)), await kept(parts, BOB)) == (0, 0)
    assert await moved(parts) >= {BOB, ROBERT}


async def test_an_alias_of_somebody_else_that_becomes_his_takes_no_history_over(
    parts: Parts, simulator: Simulator
) -> None:
    """In the same listing it was taken away from whom it led to, and his credentials name it too."""
    other = list(simulator.world.accounts)[-1]
    simulator.world.modify_user(other, slaves=("shared@gzdev.com",))
    directory = await employed(parts, simulator, "E-17")
    simulator.world.modify_user(other, slaves=())
    simulator.world.delete_user(BOB)
    simulator.world.add_user("shared@gzdev.com", ext_id="E-17")
    await look(directory)
    assert await parts.redis.exists(KEYS.log("shared@gzdev.com"), KEYS.seen("shared@gzdev.com")) == 0
    assert "shared@gzdev.com" in await moved(parts)


async def test_an_address_that_was_another_s_takes_no_history_over(parts: Parts, simulator: Simulator) -> None:
    """Its former holder's credentials still name it."""
    directory = await employed(parts, simulator, "E-17")
    other = list(simulator.world.accounts)[-1]
    simulator.world.delete_user(other)
    await look(directory)
    simulator.world.delete_user(BOB)
    simulator.world.add_user(other, ext_id="E-17")
    await look(directory)
    assert await parts.redis.exists(KEYS.log(other)) == 0
    assert other in await moved(parts)


async def test_a_history_of_its_own_is_not_written_over(parts: Parts, simulator: Simulator) -> None:
    """Mails that outran the news of the new address stay; those of before end with the old one."""
    directory = await employed(parts, simulator, "E-17")
    await (await parts.writer()).commit([mail("N1", 1, "bob.smith@gzdev.com")])
    directory = await parts.directory()
    simulator.world.delete_user(BOB)
    simulator.world.add_user("bob.smith@gzdev.com", ext_id="E-17")
    await look(directory)
    log = [fields[b"event"] for _, fields in await parts.redis.xrange(KEYS.log("bob.smith@gzdev.com"))]
    assert [b"N1" in event for event in log] == [True]
    assert await kept(parts, BOB) == 0


async def test_carrying_nothing_leaves_nothing(parts: Parts) -> None:
    """Of an address under which nothing is kept."""
    [outcome] = await (await parts.writer()).commit([Carry(ROBERT, BOB)])
    assert outcome.result == "unchanged"
    assert (await kept(parts, ROBERT), await kept(parts, BOB)) == (0, 0)


def test_an_ext_id_is_somebody_s_alone() -> None:
    """Twice among those who came, or among those who went, it says nothing; nor if a third has it."""
    assert matched({"n@x.cn": "1", "m@x.cn": "2"}, {"a@x.cn": "1", "b@x.cn": "3"}) == {"n@x.cn": "a@x.cn"}
    assert matched({"n@x.cn": "1", "m@x.cn": "1"}, {"a@x.cn": "1"}) == {}
    assert matched({"n@x.cn": "1"}, {"a@x.cn": "1", "b@x.cn": "1"}) == {}
    assert matched({"n@x.cn": ""}, {"a@x.cn": ""}) == {}
    pairs, ext_ids = {"n@x.cn": "a@x.cn"}, {"n@x.cn": "1"}
    assert alone(pairs, ext_ids, [("n@x.cn", "1"), ("a@x.cn", "1"), ("c@x.cn", "2")]) == pairs
    assert alone(pairs, ext_ids, [("n@x.cn", "1"), ("c@x.cn", "1")]) == {}
