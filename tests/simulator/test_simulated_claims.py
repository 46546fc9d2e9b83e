"""What the provider says about people when it is wrong: short listings, late profiles, a Ver that goes astray."""

from __future__ import annotations

import asyncio

import pytest

from bridge.simulator import Kind

LIST = "/openapi/user/list"
GET = "/openapi/user/get"


async def test_a_listing_comes_short_of_its_count(simulate, dial, world):
    """Lines are missing at its end; Count is what it would have been."""
    simulator = await simulate()
    simulator.faults.on(Kind.LIST_SHORT, value=2, times=1)
    wire = await dial(simulator)
    short, whole = await wire.call(LIST, "Ver=0"), await wire.call(LIST, "Ver=0")
    assert short["Count"] == len(short["List"]) + 2 == whole["Count"] == len(whole["List"])
    assert short["List"] == whole["List"][:-2]


async def test_a_profile_is_late(simulate, dial, world):
    """1301 for a while after an account was added, and for nobody else."""
    simulator = await simulate()
    simulator.faults.on(Kind.GET_LATE, value=60)
    wire = await dial(simulator)
    old, new = next(iter(world.accounts)), world.add_user().alias
    assert (await wire.call(GET, f"Alias={new}"))["errcode"] == "1301"
    assert (await wire.call(GET, f"Alias={old}"))["Alias"] == old
    simulator.faults.on(Kind.GET_LATE, value=0)
    assert (await wire.call(GET, f"Alias={new}"))["Alias"] == new


async def test_a_ver_moves_with_each_answer(simulate, dial, world):
    """Though nothing changed."""
    simulator = await simulate()
    simulator.faults.on(Kind.LIST_VER_MOVES, value=3)
    wire = await dial(simulator)
    vers = [(await wire.call(LIST, f"Ver={world.ver}"))["Ver"] for _ in range(3)]
    assert vers == [world.ver + 3, world.ver + 6, world.ver + 9]


@pytest.mark.parametrize("ver", [-5, "-5", 10**18, "1795497613538000"])
async def test_a_ver_is_anything(simulate, dial, world, ver):
    """Negative, of 19 digits, microseconds."""
    simulator = await simulate()
    simulator.faults.on(Kind.LIST_VER, value=ver)
    assert (await (await dial(simulator)).call(LIST, f"Ver={world.ver}"))["Ver"] == ver


async def test_who_asks_too_often_is_refused(simulate, dial, world):
    """By an errcode that no document has; the other calls of the second are answered."""
    simulator = await simulate()
    simulator.faults.on(Kind.RATE, endpoint="user/*", value=2)
    wire = await dial(simulator)
    answers = [await wire.call(LIST, f"Ver={world.ver}") for _ in range(4)]
    assert [answer.get("errcode") for answer in answers] == [None, None, "45009", "45009"]


async def test_who_asks_too_often_is_given_a_page(simulate, dial, world):
    """As a firewall of the provider's does: status 200, and HTML."""
    simulator = await simulate()
    simulator.faults.on(Kind.RATE_PAGE, endpoint="user/*", value=1)
    wire = await dial(simulator)
    assert (await wire.call(LIST, f"Ver={world.ver}"))["Count"] == 0
    wire.ask(LIST, f"Ver={world.ver}")
    head, body = await wire.answer()
    assert head.startswith("HTTP/1.1 200")
    assert body.startswith(b"<html>")


async def test_a_call_is_done_and_its_answer_lost(simulate, dial, world):
    """The connection breaks, and what was asked for has happened."""
    simulator = await simulate()
    simulator.faults.on(Kind.LOST, endpoint="user/sync")
    wire = await dial(simulator)
    alias = next(iter(world.accounts))
    wire.ask("/openapi/user/sync", f"Action=3&Alias={alias}&Name=lost")
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await wire.answer()
    assert world.accounts[alias].name == "lost"


async def test_an_answer_is_any_text(simulate, dial, world, http):
    """Status 200, and nothing of what was asked for."""
    simulator = await simulate()
    simulator.faults.on(Kind.ANSWER, endpoint="user/get", value='{"surprise":[1,')
    wire = await dial(simulator)
    wire.ask(GET, f"Alias={next(iter(world.accounts))}")
    await wire.expect(http(b'{"surprise":[1,'))


@pytest.mark.parametrize(
    "kind", [Kind.RATE, Kind.RATE_PAGE, Kind.LIST_SHORT, Kind.GET_LATE, Kind.LIST_VER_MOVES, Kind.ANSWER]
)
async def test_such_a_fault_needs_its_value(simulate, kind):
    """Said where it is switched on."""
    simulator = await simulate()
    with pytest.raises(ValueError, match=str(kind)):
        simulator.faults.on(kind)
