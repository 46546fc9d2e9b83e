"""``party/sync``, ``party/list`` and ``partyuser/list`` (protocol 3.3.5–3.3.7), and writes that show later."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson
import pytest

from bridge.simulator import Action

SYNC = "/openapi/party/sync"
BOB = "bob@gzdev.com"
DELAY_S = 0.75


class Office:
    """A caller of the three calls; ``clock`` is moved past the delay after each write that is to be seen."""

    def __init__(self, wire, clock):
        self.wire = wire
        self.clock = clock

    def wait(self, seconds: float = DELAY_S) -> None:
        self.clock[0] += seconds

    async def write(self, action: int, dst: str, src: str | None = None) -> str | None:
        """The errcode, or None."""
        fields = {"action": action, "dstpath": dst} | ({} if src is None else {"srcpath": src})
        self.wire.ask(SYNC, urlencode(fields))
        _, answer = await self.wire.answer()
        return orjson.loads(answer)["errcode"] if answer else None

    async def values(self, endpoint: str, path: str) -> list[str] | str:
        answer = await self.wire.call(f"/openapi/{endpoint}", urlencode({"partypath": path}))
        if "errcode" in answer:
            return answer["errcode"]
        assert answer["Count"] == len(answer["List"])
        return [line["Value"] for line in answer["List"]]

    async def children(self, path: str) -> list[str] | str:
        return await self.values("party/list", path)

    async def members(self, path: str) -> list[str] | str:
        return await self.values("partyuser/list", path)


@pytest.fixture
async def office(simulate, dial, world, clock):
    """A corporation whose only party is Bob's, 广州研发中心/企业邮箱."""
    for alias in world.accounts:
        world.modify_user(alias, parties=("广州研发中心/企业邮箱",) if alias == BOB else ())
    simulator = await simulate()
    for path in world.roster.parties.paths:
        if "广州" not in path and "/" not in path:
            simulator.commands.do("delete-party", {"path": path})
    for path in world.roster.parties.paths:
        if path not in ("广州研发中心", "广州研发中心/企业邮箱"):
            simulator.commands.do("delete-party", {"path": path})
    return Office(await dial(simulator), clock)


async def test_list_is_one_level(office):
    """The names right below, for the root with an empty path, '/' or none, with or without a leading '/'."""
    assert await office.children("") == ["广州研发中心"]
    assert await office.children("/") == ["广州研发中心"]
    assert (await office.wire.call("/openapi/party/list"))["List"] == [{"Value": "广州研发中心"}]
    assert await office.children("广州研发中心") == await office.children("/广州研发中心") == ["企业邮箱"]
    assert await office.children("广州研发中心/企业邮箱") == []
    assert await office.children("无") == "1310"
    assert await office.children("a//b") == "1001"


async def test_members_are_those_of_the_party_itself(office, world):
    """Not of those below it; the root has everybody who is in no other party."""
    assert await office.members("广州研发中心/企业邮箱") == [BOB]
    assert await office.members("广州研发中心") == []
    assert await office.members("") == [alias for alias in world.accounts if alias != BOB]
    assert await office.members("无") == "1310"
    assert await office.members("/".join("abcdef")) == "1001"


async def test_add_makes_parents(office):
    """ADD of a path makes what is missing above it."""
    assert await office.write(2, "/a/b/c") is None
    office.wait()
    assert await office.children("") == ["广州研发中心", "a"]
    assert await office.children("a/b") == ["c"]
    assert await office.members("a/b/c") == []


async def test_writes_show_later(office, world, clock):
    """A party is accepted at once and seen after the delay; until then nobody can be put into it (1310)."""
    member = f"action=3&alias={BOB}&partypath=a"
    assert await office.write(2, "a") is None
    office.wait(DELAY_S - 0.01)
    assert await office.children("") == ["广州研发中心"]
    assert (await office.wire.call("/openapi/user/sync", member))["errcode"] == "1310"
    assert [waiting["dst"] for waiting in world.truth()["pending_parties"]] == ["a"]
    office.wait(0.02)
    await office.wire.done("/openapi/user/sync", member)
    assert await office.members("a") == [BOB]
    assert world.truth()["pending_parties"] == []


async def test_writes_are_judged_by_what_was_accepted(office):
    """A second write need not wait for the first to show: a child of a new party, or the same once more."""
    assert await office.write(2, "a") is None
    assert await office.write(2, "a") == "1001"
    assert await office.write(2, "a/b") is None
    assert await office.write(3, "a/c", "a/b") is None
    assert await office.write(1, "a/c") is None
    assert await office.write(1, "a/c") == "1310"
    office.wait()
    assert await office.children("a") == []


async def test_delay_is_a_rule(office, simulate, dial, world):
    """Without a delay a write shows in the next call, and so does everything before it."""
    await office.write(2, "a")
    undelayed = await dial(await simulate(party_delay_s=0.0))
    await undelayed.done(SYNC, "action=2&dstpath=b")
    assert await office.children("") == ["广州研发中心", "a", "b"]


async def test_it_shows_without_being_asked(simulate, dial, world, clock):
    """A listener is told of the members of a moved party when the move shows, though nobody calls."""
    simulator = await simulate(party_delay_s=0.02)
    listener, wire = await dial(simulator), await dial(simulator)
    await listener.ask_listen(world.ver)
    await listener.answer()
    await wire.done(SYNC, urlencode({"action": 3, "srcpath": "广州研发中心", "dstpath": "研发"}))
    clock[0] += 1
    assert orjson.loads((await listener.answer())[1]) == {"Ver": str(int(clock[0] * 1000))}
    assert world.accounts[BOB].parties == ("研发/企业邮箱",)


async def test_move_and_rename(office, world):
    """MOD takes all that is below along; members follow, and Ver moves for them and for nobody else."""
    await office.write(2, "广州研发中心/企业邮箱/组")
    await office.write(2, "总部")
    office.wait()
    world.modify_user(BOB, parties=("广州研发中心/企业邮箱/组", "总部"))
    ver = world.ver
    assert await office.write(3, "总部/邮箱", "广州研发中心/企业邮箱") is None
    assert world.directory_since(ver) == []
    office.wait()
    assert await office.children("广州研发中心") == []
    assert await office.children("总部/邮箱") == ["组"]
    assert await office.members("总部/邮箱/组") == await office.members("总部") == [BOB]
    assert [(entry.action, entry.alias) for entry in world.directory_since(ver)] == [(Action.MOD, BOB)]
    profile = await office.wire.call("/openapi/user/get", f"alias={BOB}")
    assert [line["Value"] for line in profile["PartyList"]["List"]] == ["总部/邮箱/组", "总部"]


async def test_move_of_an_empty_party_moves_no_ver(office, world):
    """Ver counts changes of members, not of parties."""
    ver = world.ver
    await office.write(2, "a")
    await office.write(3, "b", "a")
    await office.write(1, "b")
    office.wait()
    assert await office.children("") == ["广州研发中心"]
    assert world.ver == ver


async def test_delete_only_what_is_empty(office, world):
    """DEL is refused while somebody is in the party or below it; empty ones below go along."""
    await office.write(2, "广州研发中心/空/空空")
    office.wait()
    assert await office.write(1, "广州研发中心/企业邮箱") == "1001"
    assert await office.write(1, "广州研发中心") == "1001"
    assert await office.write(1, "广州研发中心/空") is None
    office.wait()
    assert await office.children("广州研发中心") == ["企业邮箱"]
    await office.wire.done("/openapi/user/sync", f"action=3&alias={BOB}&partypath=")
    assert await office.write(1, "广州研发中心") is None
    office.wait()
    assert await office.children("") == []


async def test_nobody_is_ever_in_a_party_that_is_gone(office, world):
    """A party that is about to be deleted takes nobody, and one that members are about to move to is not deleted."""
    await office.write(2, "a")
    office.wait()
    assert await office.write(1, "a") is None
    assert await office.children("") == ["广州研发中心", "a"]
    assert (await office.wire.call("/openapi/user/sync", f"action=3&alias={BOB}&partypath=a"))["errcode"] == "1310"
    assert await office.write(3, "b", "广州研发中心") is None
    assert await office.write(1, "b") == "1001"
    assert await office.write(1, "广州研发中心") == "1310"
    office.wait()
    assert await office.members("b/企业邮箱") == [BOB]


async def test_joining_a_party_that_is_about_to_move(office, world):
    """Who is put into it by the name that can still be seen moves with it."""
    await office.write(3, "b", "广州研发中心")
    await office.wire.done("/openapi/user/sync", f"action=3&alias={BOB}&partypath=" + "%E5%B9%BF%E5%B7%9E研发中心")
    office.wait()
    assert await office.members("b") == [BOB]


@pytest.mark.parametrize(
    ("action", "dst", "src", "errcode"),
    [
        (4, "a", None, "1001"),
        (2, "", None, "1001"),
        (2, "/", None, "1001"),
        (1, "/", None, "1001"),
        (2, "a//b", None, "1001"),
        (2, "a/", None, "1001"),
        (2, "a/b/c/d/e/f", None, "1001"),
        (2, "部" * 65, None, "1001"),
        (2, "广州研发中心", None, "1001"),
        (3, "a", None, "1001"),
        (3, "a", "/", "1001"),
        (3, "广州研发中心/x/y", "广州研发中心", "1001"),
        (3, "广州研发中心", "广州研发中心/企业邮箱", "1001"),
        (1, "无", None, "1310"),
        (3, "a", "无", "1310"),
        (3, "无/a", "广州研发中心", "1310"),
    ],
)
async def test_refusals(office, world, action, dst, src, errcode):
    """A path that cannot be, exists already or does not exist, is refused at once, and nothing is pending."""
    assert await office.write(action, dst, src) == errcode
    assert world.roster.parties.pending == []


async def test_limits_that_just_fit(office):
    """5 levels and 64 characters a level, Chinese ones too; a move may not push anything below the fifth."""
    assert await office.write(2, "a/b/c/d/" + "部" * 64) is None
    assert await office.write(3, "广州研发中心/a", "a") == "1001"
    assert await office.write(3, "c", "a/b/c") is None
    office.wait()
    assert await office.children("c/d") == ["部" * 64]


async def test_a_profile_makes_its_parties(world):
    """Who is changed by a test, not by the API, gets the parties that he names."""
    world.modify_user(BOB, parties=("/x/y",))
    assert world.accounts[BOB].parties == ("x/y",)
    assert {"x", "x/y"} <= set(world.roster.parties.paths)
    with pytest.raises(ValueError, match="level"):
        world.add_user("new@gzdev.com", parties=("x//y",))
    assert "new@gzdev.com" not in world.unread
