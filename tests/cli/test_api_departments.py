"""``api party/sync --from FILE``: departments become what a file says, parents before children."""

from __future__ import annotations

import json

import pytest

from bridge.commands.api.departments import conflicts, department_of, plan_of
from bridge.commands.api.report import Result
from bridge.provider.members import Action
from bridge.simulator import Simulator
from bridge.simulator.world.account import Action as Does
from bridge.simulator.world.parties import PartyWrite, parse

from .conftest import AMY, FASTER, Api

SYNC = ("party/sync", "--rate", "1000", "--from", "-")


OURS = ("总部", "研发", "研发中心", "旧部", "新")


@pytest.fixture(autouse=True)
def tree(simulator: Simulator) -> None:
    """What is there before, beside what the simulator has."""
    for path in ("总部", "研发/前端", "研发/后端/一组", "旧部/甲", "旧部/乙"):
        plant(simulator, path)
    simulator.world.modify_user(AMY, parties=("研发/前端",))


def plant(simulator: Simulator, path: str) -> None:
    simulator.world.roster.change_party(PartyWrite(Does.ADD, parse(path)))


def paths(simulator: Simulator) -> set[str]:
    """The departments of these tests."""
    return {path for path in simulator.world.roster.parties.paths if path.split("/")[0] in OURS}


def words(out: str) -> list[tuple[str, str]]:
    return [(line.split("\t")[1], line.split("\t")[2]) for line in out.splitlines()]


FILE = """\
操作,原部门,部门
,,研发中心/测试/二组
删除,,旧部/甲
,研发,研发中心
,,研发中心/测试
删除,,旧部
,旧部/乙,总部/乙
新增,,总部
"""


@pytest.mark.parametrize("fault", ["", "lost", "busy"])
async def test_a_file_becomes_what_is_there(api: Api, simulator: Simulator, fault: str) -> None:
    """Whatever the order of the rows: those above first, moves with all below, deletions last and from the bottom. The
    dry run says so and writes nothing; a second run finds it done; a lost answer is no second try."""
    simulator.rules.party_delay_s = (1.2 if fault == "lost" else 0.3) / FASTER
    if fault:
        kind, value = ("lost", None) if fault == "lost" else ("errcode", 1002)
        simulator.faults.on(kind, endpoint="party/sync", value=value, times=1)
    would = [
        ("研发", "would-move"),
        ("总部", "unchanged"),
        ("研发中心/测试", "would-add"),
        ("旧部/乙", "would-move"),
        ("研发中心/测试/二组", "would-add"),
        ("旧部/甲", "would-delete"),
        ("旧部", "would-delete"),
    ]
    code, out, _ = await api(*SYNC, "--dry-run", "--yes", stdin=FILE)
    assert (code, words(out)) == (0, would)
    assert "party: 研发 → 研发中心" in out
    assert simulator.calls.count("party/sync") == 0
    code, out, err = await api(*SYNC, "--yes", stdin=FILE)
    done = {"would-move": "moved", "would-add": "added", "would-delete": "deleted", "unchanged": "unchanged"}
    assert (code, words(out)) == (0, [(name, done[word]) for name, word in would]), err
    assert paths(simulator) == {
        *("总部", "总部/乙", "研发中心", "研发中心/前端", "研发中心/后端", "研发中心/后端/一组"),
        *("研发中心/测试", "研发中心/测试/二组"),
    }
    assert simulator.world.accounts[AMY].parties == ("研发中心/前端",)
    code, out, _ = await api(*SYNC, "--yes", stdin=FILE)
    assert (code, {word for _, word in words(out)}) == (0, {"unchanged"})


async def test_deletions_need_a_word_and_many_their_number(api: Api, simulator: Simulator) -> None:
    """What lies below counts too; nothing is changed before that was said."""
    for number in range(9):
        plant(simulator, f"旧部/甲/{number}")
    before, there = paths(simulator), len(simulator.world.roster.parties.paths)
    rows = "部门\n旧部\n"
    delete = (*SYNC, "--action", "DEL")
    for more, says in (
        ((), f"12 of {there} departments would be deleted, more than BRIDGE_DIRECTORY_DELETE_COUNT"),
        (("--yes",), "if that is right: --yes 12"),
        (("--yes", "11"), "and --yes says 11"),
    ):
        code, out, err = await api(*delete, *more, stdin=rows)
        assert (code, out) == (2, "")
        assert says in err
    assert simulator.calls.count("party/sync") == 0
    code, _, err = await api(*delete, stdin="部门\n旧部/乙\n")
    assert (code, "it needs --yes: the departments below it go too" in err) == (2, True)
    code, out, _ = await api(*delete, "--yes", "12", stdin=rows)
    assert (code, words(out)) == (0, [("旧部", "deleted")])
    assert paths(simulator) == {path for path in before if not path.startswith("旧部")}


async def test_what_depends_on_a_row_that_fails_is_left_alone(api: Api, simulator: Simulator) -> None:
    """Below one that was not moved no other of its name is made, and no department is deleted that was to be moved out
    first."""
    before = paths(simulator)
    simulator.faults.on("errcode", endpoint="party/sync", value=1001)
    rows = (
        {"source": "研发", "party": "研发中心"},
        {"party": "研发中心/测试"},
        {"source": "旧部/乙", "party": "总部/乙"},
        {"action": "DEL", "party": "旧部"},
    )
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    code, out, _ = await api(*SYNC, "--yes", "--json", stdin=text)
    told = [json.loads(line) for line in out.splitlines()]
    assert (code, [(each["line"], each["result"]) for each in told]) == (4, [(n, "refused") for n in (1, 2, 3, 4)])
    assert [each["error"]["message"][:10] for each in told if "left alone" in each["error"]["message"]] == [
        "left alone"
    ] * 2
    assert simulator.calls.count("party/sync") == 2
    assert paths(simulator) == before


async def test_a_department_with_members_stays(api: Api, simulator: Simulator) -> None:
    """The provider refuses, and the other rows are done."""
    code, out, _ = await api(*SYNC, "--action", "DEL", "--yes", stdin="部门\n研发/前端\n旧部/甲\n")
    assert (code, words(out)) == (4, [("研发/前端", "refused"), ("旧部/甲", "deleted")])
    assert {"研发/前端", "旧部/乙"} <= paths(simulator)


async def test_what_cannot_be_moved_is_told(api: Api, simulator: Simulator) -> None:
    """Nothing there, something in the place already, or nothing to be below of; the dry run knows."""
    rows = "原部门,部门\n没有,总部/没有\n旧部/甲,研发/前端\n旧部/乙,新/乙\n"
    for more in ("--dry-run",), ():
        code, out, _ = await api(*SYNC, *more, stdin=rows)
        assert code == 4
        assert dict(words(out)) == {"没有": "not-found", "旧部/甲": "refused", "旧部/乙": "refused"}
        assert "研发/前端 is there already" in out
        assert "there is no department 新; a row of its own adds it" in out
    assert simulator.calls.count("party/sync") == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("部门\n一\n一\n", "line 3: 一 stands in line 2 too"),
        ("原部门,部门\n甲,一\n甲,二\n", "line 3: 甲 stands in line 2 too"),
        ("原部门,部门\n甲,一\n,甲/子\n", "line 3: 甲/子 is in 甲, which line 2 moves"),
        ("原部门,部门\n甲,一\n一,二\n", "line 2: 一 is in 一, which line 3 moves"),
        ("操作,部门\n删除,甲\n新增,甲/子\n", "line 3: 甲/子 is in 甲, which line 2 deletes"),
        ("原部门,部门\n甲,甲/子\n", "must be another path, and not below SrcPath"),
        ("操作,原部门,部门\n新增,甲,乙\n", "goes with MOD only"),
        ("操作,部门\n修改,乙\n", "SrcPath"),
        ("操作,部门\n也许,乙\n", "must be ADD, MOD or DEL"),
        ("部门\na/b/c/d/e/f\n", "at most 5 levels"),
        ("部门,姓名\n一,二\n", "the column '姓名' is not known"),
    ],
)
async def test_a_wrong_row_is_told_with_its_line(api: Api, simulator: Simulator, text: str, says: str) -> None:
    """Before the provider hears anything."""
    code, out, err = await api(*SYNC, stdin=text)
    assert (code, out) == (2, "")
    assert says in err
    assert simulator.calls.count("party/list") == 0


def test_nothing_is_begun_that_has_to_fail() -> None:
    """A plan knows that a row fails with the one that it needs, and what is gone when it comes to a row."""
    rows = [
        department_of(line, values, action)
        for line, values, action in (
            (1, {"party": "a/x"}, Action.DEL),
            (2, {"party": "a"}, Action.DEL),
            (3, {"source": "none", "party": "b"}, None),
            (4, {"party": "b/c/d"}, None),
            (5, {"party": "d/e"}, None),
            (6, {"party": "d/e/f"}, None),
        )
    ]
    assert conflicts(rows) == []
    plan = plan_of(rows, {"a", "a/x", "a/y"})
    steps = [(row.line, "failed" if isinstance(step, Result) else step) for row, step in plan.steps]
    assert steps == [(3, "failed"), (5, "add"), (4, "failed"), (6, "add"), (1, "delete"), (2, "delete")]
    assert plan.disappearing == 3


async def test_a_listing_that_comes_short_ends_the_run(api: Api, simulator: Simulator) -> None:
    """How many are below one that is to be deleted could not be told."""
    short = '{"Count":2,"List":[{"Value":"旧部"}]}'
    simulator.faults.on("answer", endpoint="party/list", value=short)
    code, out, err = await api(*SYNC, "--action", "DEL", "--yes", "--wait", "1", stdin="部门\n旧部\n")
    assert (code, out) == (6, ""), err
    assert simulator.calls.count("party/sync") == 0
