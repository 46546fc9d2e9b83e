"""A profile in the mirror that the bridge did not write: it costs nobody else anything, and is put right."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from bridge.events import to_json
from bridge.journal.made import Made
from bridge.simulator import Simulator
from bridge.worker.narrowing import Narrowing
from tests.support.members import fresh, mirrored
from tests.support.stage import mail
from tests.support.workers import BOB, KEYS, Told, simulating

from .conftest import ALL_FIELDS, Parts, pulled

SAID = "stored profiles cannot be read, their accounts are known by name alone"
ODD = [b"", b"odd secret", b'{"name":"odd secret"', b"[]", b"null", b"\xff", b"[" * 5000]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with simulating(12) as running:
        yield running


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_a_comparison_puts_it_right(
    parts: Parts, simulator: Simulator, told: Told, caplog: pytest.LogCaptureFixture, odd: bytes
) -> None:
    """Of somebody who is there, of somebody who is disabled and keeps what he has, and of somebody who is gone; said
    without a word of what was found there."""
    world, writer = simulator.world, await parts.writer()
    directory = await parts.directory(writer=writer)
    *_, disabled, gone = world.accounts
    world.modify_user(disabled, open_type=2)
    await pulled(directory)
    await writer.commit([mail("Z1", mailbox=disabled)])
    for alias in (BOB, disabled, gone):
        await parts.redis.hset(KEYS.directory, alias, odd)
    world.delete_user(gone)
    with caplog.at_level(logging.WARNING):
        await directory.resync()
        await pulled(directory)
    assert await mirrored(parts.redis) == fresh(world, ALL_FIELDS)
    assert await parts.mirror.barred() == {disabled, gone}
    assert await parts.redis.xlen(KEYS.log(disabled)) == 1
    assert [data["alias"] for data in await told.data("directory.user.updated")] == [BOB, disabled]
    assert [data["alias"] for data in await told.data("directory.user.deleted")] == [gone]
    said = [each for each in caplog.records if each.message == SAID]
    assert said
    assert "odd" not in "".join(str(vars(each)) for each in said)


async def test_who_changed_his_address_is_found_beside_it(parts: Parts, simulator: Simulator, told: Told) -> None:
    """His ExtId is looked for in all profiles, and in those of all who are gone."""
    world, directory = simulator.world, await parts.directory()
    *_, former, gone = world.accounts
    world.modify_user(former, ext_id="7")
    await pulled(directory)
    await parts.redis.hset(KEYS.directory, mapping={BOB: "odd", gone: "odd"})
    world.delete_user(former)
    world.delete_user(gone)
    world.add_user("renamed@gzdev.com", ext_id="7", slaves=())
    directory.version(world.ver)
    await pulled(directory)
    assert [data["alias"] for data in await told.data("directory.user.added")] == ["renamed@gzdev.com"]
    found = await parts.mirror.profiles(["renamed@gzdev.com", BOB])
    assert [None if each is None else each.get("ext_id") for each in found] == ["7", None]


async def test_a_narrower_setting_holds_for_it_too(parts: Parts) -> None:
    """What is there may be what must not be stored any more."""
    await parts.redis.hset(KEYS.directory, mapping={BOB: "odd secret", "ann@gzdev.com": to_json({"tel": "1"})})
    writer = await parts.writer()
    await writer.note_made(Made("full", frozenset(ALL_FIELDS), 1))
    await Narrowing(writer, parts.mirror, privacy="full", fields=("alias", "name")).applied()
    assert await mirrored(parts.redis) == {BOB: {"alias": BOB}, "ann@gzdev.com": {}}
