"""The six calls for mail groups (protocol 3.3.9–3.3.13), which only the truth can read back."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from bridge.simulator.world.groups import Group, GroupStatus

BOB = "bob@gzdev.com"
TEAM = "team@gzdev.com"
ADD = f"group_name=Team&group_admin={TEAM}&status=list"


@pytest.fixture
async def wire(simulate, dial, world):
    world.add_user("amy@gzdev.com", slaves=("a1@gzdev.com",))
    return await dial(await simulate())


def team(world) -> Group:
    return world.roster.groups.all[TEAM]


@pytest.mark.parametrize("status", ["all", "inner", "group", "list"])
async def test_add(wire, world, status):
    """Name, address, each of the four states, and repeated members: account, slave or another group."""
    world.roster.groups.put(Group("g@gzdev.com", "G", GroupStatus.ALL))
    fields = [("group_name", "小组"), ("Group_Admin", "TEAM@gzdev.com"), ("status", status), ("members", BOB)]
    fields += [("MEMBERS", "a1@gzdev.com"), ("members", "g@gzdev.com"), ("members", BOB)]
    await wire.done("/openapi/group/add", urlencode(fields))
    assert team(world) == Group(TEAM, "小组", GroupStatus(status), (BOB, "a1@gzdev.com", "g@gzdev.com"))
    assert world.truth()["groups"][-1] == team(world)
    assert (await wire.call("/openapi/user/check", f"email={TEAM}"))["List"][0]["Type"] == 3


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (f"group_admin={TEAM}&status=all", 1001),
        ("group_name=Team&status=all", 1001),
        (f"group_name=Team&group_admin={TEAM}", 1001),
        (f"group_name=Team&group_admin={TEAM}&status=", 1001),
        (f"group_name=Team&group_admin={TEAM}&status=some", 1001),
        ("group_name=Team&group_admin=team&status=all", 1001),
        ("group_name=Team&group_admin=team@elsewhere.com&status=all", 1001),
        (f"group_name=Team&group_admin={BOB}&status=all", 1304),
        ("group_name=Team&group_admin=a1@gzdev.com&status=all", 1304),
        (f"{ADD}&members=no@gzdev.com", 1301),
        (f"{ADD}&members={BOB}&members=no@elsewhere.com", 1301),
    ],
)
async def test_add_refusals(wire, world, body, errcode):
    """A parameter is missing or bad, the address is taken, or a member does not exist; no group is made."""
    assert (await wire.call("/openapi/group/add", body))["errcode"] == str(errcode)
    assert not world.roster.groups.all


async def test_address_of_a_group_is_taken(wire):
    """A group cannot be added twice."""
    await wire.done("/openapi/group/add", ADD)
    assert (await wire.call("/openapi/group/add", ADD))["errcode"] == "1304"


async def test_delete(wire, world):
    """The address is free again."""
    await wire.done("/openapi/group/add", ADD)
    await wire.done("/openapi/group/delete", f"group_alias={TEAM}")
    assert not world.roster.groups.all
    assert (await wire.call("/openapi/user/check", f"email={TEAM}"))["List"][0]["Type"] == 0


async def test_members_come_and_go(wire, world):
    """Repeated members; who is one already stays one; who is none cannot be removed, and then nobody is."""
    await wire.done("/openapi/group/add", ADD)
    await wire.done("/openapi/group/addmember", f"group_alias={TEAM}&members={BOB}&members=amy@gzdev.com")
    await wire.done("/openapi/group/addmember", f"group_alias={TEAM}&members=BOB@gzdev.com")
    assert team(world).members == (BOB, "amy@gzdev.com")
    stranger = await wire.call("/openapi/group/deletemember", f"group_alias={TEAM}&members={BOB}&members=a1@gzdev.com")
    assert stranger["errcode"] == "1301"
    assert team(world).members == (BOB, "amy@gzdev.com")
    await wire.done("/openapi/group/deletemember", f"group_alias={TEAM}&members={BOB}")
    assert team(world).members == ("amy@gzdev.com",)


async def test_allow_list(wire, world):
    """Commas separate; it grows and shrinks, and somebody always stays on it (protocol 3.3.13)."""
    await wire.done("/openapi/group/add", ADD)
    await wire.done("/openapi/group/addallowlist", f"group_alias={TEAM}&allow_list={BOB}, amy@gzdev.com")
    assert team(world).allow_list == (BOB, "amy@gzdev.com")
    await wire.done("/openapi/group/delallowlist", f"group_alias={TEAM}&allow_list={BOB}")
    assert team(world).allow_list == ("amy@gzdev.com",)
    last = await wire.call("/openapi/group/delallowlist", f"group_alias={TEAM}&allow_list=amy@gzdev.com")
    assert last["errcode"] == "1001"
    stranger = await wire.call("/openapi/group/delallowlist", f"group_alias={TEAM}&allow_list={BOB}")
    assert stranger["errcode"] == "1301"
    nobody = await wire.call("/openapi/group/addallowlist", f"group_alias={TEAM}&allow_list=,")
    assert nobody["errcode"] == "1001"
    assert team(world).allow_list == ("amy@gzdev.com",)


@pytest.mark.parametrize("call", ["addallowlist", "delallowlist"])
@pytest.mark.parametrize("status", ["all", "inner", "group"])
async def test_allow_list_only_for_status_list(wire, world, call, status):
    """Any other state has no allow list (protocol 3.3.12, 3.3.13)."""
    world.roster.groups.put(Group(TEAM, "Team", GroupStatus(status)))
    answer = await wire.call(f"/openapi/group/{call}", f"group_alias={TEAM}&allow_list={BOB}")
    assert answer["errcode"] == "1001"


@pytest.mark.parametrize(
    ("call", "rest"),
    [
        ("delete", ""),
        ("addmember", f"&members={BOB}"),
        ("deletemember", f"&members={BOB}"),
        ("addallowlist", f"&allow_list={BOB}"),
        ("delallowlist", f"&allow_list={BOB}"),
    ],
)
async def test_refusals_of_all(wire, world, call, rest):
    """Without a group's address or a list 1001, with one that nobody has 1301, an account's too."""
    path = f"/openapi/group/{call}"
    assert (await wire.call(path, rest))["errcode"] == "1001"
    assert (await wire.call(path, f"group_alias=no@gzdev.com{rest}"))["errcode"] == "1301"
    assert (await wire.call(path, f"group_alias={BOB}{rest}"))["errcode"] == "1301"
    if rest:
        world.roster.groups.put(Group(TEAM, "Team", GroupStatus.LIST))
        empty = f"group_alias={TEAM}{rest.partition('=')[0]}="
        assert (await wire.call(path, empty))["errcode"] == "1001"


@pytest.mark.parametrize("call", ["addmember&members", "addallowlist&allow_list"])
async def test_only_known_addresses_are_added(wire, world, call):
    """Nobody can be added who does not exist."""
    world.roster.groups.put(Group(TEAM, "Team", GroupStatus.LIST))
    name, _, parameter = call.partition("&")
    answer = await wire.call(f"/openapi/group/{name}", f"group_alias={TEAM}&{parameter}=no@gzdev.com")
    assert answer["errcode"] == "1301"
    assert (team(world).members, team(world).allow_list) == ((), ())


async def test_deleted_account_leaves_its_groups(wire, world):
    """By each of its addresses."""
    world.roster.groups.put(Group(TEAM, "Team", GroupStatus.LIST, (BOB, "a1@gzdev.com"), ("amy@gzdev.com", BOB)))
    await wire.done("/openapi/user/sync", "action=1&alias=amy@gzdev.com")
    assert (team(world).members, team(world).allow_list) == ((BOB,), (BOB,))
