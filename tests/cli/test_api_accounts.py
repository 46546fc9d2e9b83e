"""``api user/sync --from FILE``: the accounts of a file, compared with what is there, then written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import Simulator

from .conftest import AMY, Api

BOB = "bob@gzdev.com"
NEW = "new@gzdev.com"
FAST = ("--rate", "1000")
SYNC = ("user/sync", *FAST, "--from")
HEAD = "账号,姓名,职位,部门,密码\r\n"
PASSWORD = "a first password"


def people(count: int) -> list[str]:
    return [f"p{number}@gzdev.com" for number in range(count)]


def writes(simulator: Simulator) -> int:
    return simulator.calls.count("user/sync")


async def rows(api: Api, *words: str, stdin: str | bytes) -> tuple[int, dict[str, dict[str, Any]], str]:
    code, out, err = await api(*SYNC, "-", *words, "--json", stdin=stdin)
    return code, {each["of"]: each for each in map(json.loads, out.splitlines())}, err


async def test_a_file_becomes_what_is_there(api: Api, simulator: Simulator, tmp_path: Path) -> None:
    """Added, changed field by field, or left alone; a dry run says the same and does nothing; again, all is so."""
    file = tmp_path / "people.csv"
    file.write_text(
        HEAD
        + f"{NEW},新同事,工程师,广州研发中心/企业邮箱,{PASSWORD}\r\n"
        + f"{AMY},艾米莉,,,{PASSWORD}\r\n"
        + f"{BOB},{simulator.world.accounts[BOB].name},,,{PASSWORD}\r\n"
    )
    code, out, err = await api(*SYNC, str(file), "--dry-run")
    assert (code, writes(simulator)) == (0, 0)
    assert out.splitlines() == [
        f"2\t{NEW}\twould-add\tname: (empty) → 新同事; position: (empty) → 工程师; "
        "parties: (empty) → 广州研发中心/企业邮箱; password set",
        f"3\t{AMY}\twould-change\tname: 艾米 → 艾米莉",
        f"4\t{BOB}\tunchanged",
    ]
    assert err == "exmail-bridge: 1 unchanged, 1 would-add, 1 would-change\n"
    amy = simulator.world.accounts[AMY].password_md5
    code, found, err = await rows(api, stdin=file.read_text())
    assert (code, [each["result"] for each in found.values()]) == (0, ["added", "changed", "unchanged"])
    assert found[AMY]["changes"] == {"name": {"from": "艾米", "to": "艾米莉"}}
    assert found[NEW]["changes"]["password"] == "set"
    assert json.loads(err)["counts"] == {"added": 1, "changed": 1, "unchanged": 1}
    assert PASSWORD not in out + str(found) + err
    added = simulator.world.accounts[NEW]
    assert (added.name, added.parties) == ("新同事", ("广州研发中心/企业邮箱",))
    # The first password of somebody who is there already is not theirs any more.
    assert simulator.world.accounts[AMY].password_md5 == amy
    done = writes(simulator)
    code, found, _ = await rows(api, stdin=file.read_text())
    assert (code, {each["result"] for each in found.values()}, writes(simulator)) == (0, {"unchanged"}, done)


async def test_what_a_row_leaves_out_stays(api: Api, simulator: Simulator) -> None:
    """An empty cell says nothing, ``-`` empties; in JSON nothing is said by null, and empty text or lists empty."""
    await api("user/sync", "--action", "MOD", "--alias", AMY, "--tel", "1", "--mobile", "2", "--position", "p")
    code, found, _ = await rows(api, stdin=f"alias,tel,mobile,slaves\n{AMY},,-,\n")
    assert (code, found[AMY]["changes"]) == (0, {"mobile": {"from": "2", "to": ""}})
    line = json.dumps({"alias": AMY, "tel": None, "position": "", "slaves": ["A1@gzdev.com", "a2@gzdev.com"]})
    code, found, _ = await rows(api, stdin=line)
    assert list(found[AMY]["changes"]) == ["position", "slaves"]
    amy = simulator.world.accounts[AMY]
    assert (amy.tel, amy.mobile, amy.position, amy.slaves) == ("1", "", "", ("a1@gzdev.com", "a2@gzdev.com"))
    code, found, _ = await rows(api, stdin=f"alias,别名\n{AMY},a2@gzdev.com；A1@gzdev.com\n")
    assert found[AMY]["result"] == "unchanged"


async def test_actions_of_rows_and_of_all(api: Api, simulator: Simulator) -> None:
    """ADD never changes somebody, MOD adds nobody, DEL of whom is not there is done already; options hold for all."""
    file = f"账号,操作,姓名\n{AMY},新增,别人\nnobody@gzdev.com,修改,x\ngone@gzdev.com,删除,\n{BOB},MOD,Robert\n"
    code, found, _ = await rows(api, "--password-file", "/dev/null", stdin=file)
    assert code == 2
    file = file.replace("操作", "Action")
    code, found, err = await rows(api, stdin=file)
    assert code == 2
    assert "Password is missing: in the row, or --password-file FILE for all" in err
    code, found, _ = await rows(
        api,
        stdin=file.replace(",姓名", ",姓名,密码")
        .replace("别人", f"别人,{PASSWORD}")
        .replace(",x\n", ",x,\n")
        .replace("删除,\n", "删除,,\n")
        .replace("Robert", "Robert,"),
    )
    assert [each["result"] for each in found.values()] == ["refused", "not-found", "unchanged", "changed"]
    assert (code, simulator.world.accounts[AMY].name) == (4, "艾米")
    code, found, _ = await rows(api, "--action", "MOD", "--open-type", "2", stdin=f"邮箱\n{AMY}\n")
    assert (code, found[AMY]["result"], simulator.world.accounts[AMY].disabled) == (0, "disabled", True)
    code, _, err = await rows(api, "--action", "MOD", "--open-type", "1", stdin=f"alias,状态\n{AMY},启用\n")
    assert (code, "says open_type, and an option does too" in err) == (2, True)
    code, _, err = await rows(api, "--action", "DEL", "--open-type", "2", stdin=f"alias\n{AMY}\n")
    assert (code, "OpenType does not belong to the action DEL" in err) == (2, True)


async def test_one_password_for_all_who_are_new(api: Api, simulator: Simulator, tmp_path: Path) -> None:
    """``--password-file`` is for rows without one; without either nothing is written, and all such rows are named."""
    file = f"alias,name\n{NEW},N\nnext@gzdev.com,M\n{AMY},艾米\n"
    code, out, err = await api(*SYNC, "-", stdin=file)
    assert (code, out, writes(simulator)) == (2, "", 0)
    lines = err.splitlines()
    assert lines[0].startswith(f"exmail-bridge: line 2: {NEW} is not there yet, and Password is missing")
    assert lines[1].startswith("exmail-bridge: line 3: next@gzdev.com is not there yet")
    assert lines[2] == "exmail-bridge: nothing was changed"
    (tmp_path / "first").write_text(PASSWORD)
    code, found, _ = await rows(api, "--password-file", str(tmp_path / "first"), stdin=file)
    assert (code, [each["result"] for each in found.values()]) == (0, ["added", "added", "unchanged"])
    code, found, _ = await rows(
        api, "--action", "MOD", "--password-file", str(tmp_path / "first"), stdin=f"alias\n{AMY}\n"
    )
    assert found[AMY]["changes"] == {"password": "set"}
    assert simulator.world.accounts[AMY].password_md5 == simulator.world.accounts[NEW].password_md5
    both = ("--password-file", "-")
    assert (await api(*SYNC, "-", *both, stdin=file))[0] == 2


@pytest.mark.parametrize("how", ["disable", "delete"])
async def test_leavers(api: Api, simulator: Simulator, how: str) -> None:
    """Whoever the file, a list of everybody, leaves out is switched off or deleted; without being asked, never."""
    simulator.world.add_user("admin@gzdev.com", name="admin")
    words = ("--leavers", how, "--keep", "Admin@gzdev.com", *(["--yes"] if how == "delete" else []))
    code, found, _ = await rows(api, *words, "--dry-run", stdin=f"alias\n{BOB}\n")
    assert (code, {name: each["result"] for name, each in found.items()}) == (
        0,
        {BOB: "unchanged", AMY: f"would-{how}"},
    )
    assert found[AMY]["line"] is None
    code, found, _ = await rows(api, *words, stdin=f"alias\n{BOB}\n")
    assert (code, found[AMY]["result"]) == (0, f"{how}d")
    assert simulator.world.accounts[AMY].disabled if how == "disable" else AMY not in simulator.world.accounts
    code, found, _ = await rows(api, *words, stdin=f"alias\n{BOB}\n")
    assert (code, list(found)) == (0, [BOB])


async def test_somebody_listed_by_a_further_address_is_no_leaver(api: Api, simulator: Simulator) -> None:
    """The row would add what exists, and the person behind it would be switched off: nothing is written."""
    code, out, err = await api(*SYNC, "-", "--leavers", "disable", stdin=f"alias\n{BOB}\nA1@gzdev.com\n")
    assert (code, out, writes(simulator)) == (2, "", 0)
    assert f"line 3: A1@gzdev.com is a further address of {AMY}, left out" in err


async def test_who_is_kept_is_there(api: Api, simulator: Simulator) -> None:
    """By any address; one that nobody has is a mistake, and whoever was meant would be switched off."""
    words = (*SYNC, "-", "--leavers", "disable", "--keep")
    assert (await api(*words, "A1@gzdev.com", stdin=f"alias\n{BOB}\n"))[:2] == (0, f"2\t{BOB}\tunchanged\n")
    code, out, err = await api(*words, "amyy@gzdev.com", stdin=f"alias\n{BOB}\n")
    assert (code, out, writes(simulator)) == (2, "", 0)
    assert err.startswith("exmail-bridge: --keep amyy@gzdev.com: there is no such account\n")


async def test_a_leaver_who_is_gone_already(api: Api, simulator: Simulator) -> None:
    """Listed still, and not there: nothing is left to do."""
    simulator.faults.on("errcode", endpoint="user/get", value=1301)
    code, found, _ = await rows(api, "--action", "DEL", "--leavers", "disable", stdin="alias\nx@gzdev.com\n")
    assert (code, [each["result"] for each in found.values()]) == (0, ["unchanged"])


async def test_a_listing_that_came_short_makes_no_leavers(api: Api, simulator: Simulator) -> None:
    """Whom it leaves out nobody would miss; whom it has is not everybody."""
    simulator.faults.on("list-short", value=1)
    code, out, err = await api(*SYNC, "-", "--leavers", "disable", stdin=f"alias\n{BOB}\n")
    assert (code, out, writes(simulator)) == (6, "", 0)
    assert "who has left cannot be told: the listing has 1 lines, its Count says 2" in err


async def test_too_many_at_once_need_their_number(api: Api, simulator: Simulator) -> None:
    """The guard of the directory: more than its count and share wait for somebody who names exactly how many."""
    for alias in people(20):
        simulator.world.add_user(alias, name=alias)
    six = "alias\n" + "\n".join(people(6))
    off = ("--action", "MOD", "--open-type", "2")
    code, out, err = await api(*SYNC, "-", *off, stdin=six)
    assert (code, out, writes(simulator)) == (2, "", 0)
    assert "6 of 22 accounts would be switched off or deleted" in err
    assert "--yes 6\n" in err
    for words in (["--yes"], ["--yes", "5"]):
        assert (await api(*SYNC, "-", *off, *words, stdin=six))[0] == 2
    code, out, err = await api(*SYNC, "-", *off, "--dry-run", stdin=six)
    assert (code, out.count("would-disable"), "--yes 6\n" in err, writes(simulator)) == (2, 6, True, 0)
    code, found, _ = await rows(api, *off, "--yes", "6", stdin=six)
    assert (code, {each["result"] for each in found.values()}) == (0, {"disabled"})
    # What is done already is not counted again.
    assert (await api(*SYNC, "-", *off, stdin=six))[0] == 0
    five = "alias\n" + "\n".join(people(11)[6:])
    assert (await api(*SYNC, "-", "--action", "DEL", stdin=five))[0] == 2
    code, found, _ = await rows(api, "--action", "DEL", "--yes", stdin=five)
    assert (code, {each["result"] for each in found.values()}) == (0, {"deleted"})


async def test_the_guard_has_the_settings_of_the_directory(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``BRIDGE_DIRECTORY_DELETE_COUNT`` and ``_SHARE`` hold here."""
    monkeypatch.setenv("BRIDGE_DIRECTORY_DELETE_COUNT", "0")
    off = ("--action", "MOD", "--open-type", "2")
    assert (await api(*SYNC, "-", *off, stdin=f"alias\n{AMY}\n"))[0] == 2
    monkeypatch.setenv("BRIDGE_DIRECTORY_DELETE_SHARE", "0.5")
    assert (await api(*SYNC, "-", *off, stdin=f"alias\n{AMY}\n"))[0] == 0


async def test_the_refusal_of_one_row_is_its_own(api: Api, simulator: Simulator) -> None:
    """The others are done, the line says why, and the exit code is the greatest of all."""
    file = f"alias,name,密码\n{AMY},Amy,\na1@gzdev.com,x,{PASSWORD}\n{BOB},Robert,\n"
    code, found, _ = await rows(api, stdin=file)
    assert (code, [each["result"] for each in found.values()]) == (4, ["changed", "refused", "changed"])
    assert found["a1@gzdev.com"]["error"]["errcode"] == "1304"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"alias,nmae\n{AMY},x\n", "the column 'nmae' is not known; did you mean name?"),
        (f"{AMY},艾米,hushhush\n{BOB},Bob,hushhush\n", "the first line names no column that is known"),
        (f"alias,账号\n{AMY},{AMY}\n", "line 2: 账号: another column says alias too"),
        (f"alias,name,name\n{AMY},a,b\n", "line 1: names the column 'name' twice"),
        (f"alias,name\n\n{AMY},x\n{AMY.upper()},y\n", f"line 4: {AMY.upper()} stands in line 3 too"),
        (f"alias,name\n{AMY}\n", "line 2: has 1 cells where the first line names 2 columns"),
        (f'alias,name\n{AMY},"x\n', "line 2: has a quote that is not closed"),
        ("alias,name\nbob,x\n", "line 2: Alias must be a mail address, as in bob@gzdev.com, not 'bob'"),
        (f'alias,name\n{AMY},"two\nlines"\n{BOB},x\n', "line 2: Name must be one line"),
        (f'alias,name\n{AMY},"two\nlines"\n{BOB},x,y\n', "line 4: has 3 cells"),
        (f"alias,手机\n{AMY},1.38E+10\n", "line 2: 手机: is a number that the spreadsheet has cut short"),
        (f"alias,性别\n{AMY},?\n", "line 2: Gender must be 0, 1 or 2, not '?'"),
        (f"alias,action\n{AMY},x\n", "line 2: Action must be ADD, MOD or DEL"),
        (f"alias,password\n{AMY},hush\n", "line 2: Password must have 6 to 32 characters"),
        (f'{{"alias":"{AMY}"}}\n{{"alias":1.5}}\n', "line 2: alias: must be text or a number"),
        (f'{{"alias":"{AMY}","alias":"{BOB}"}}\n', "line 1: has 'alias' twice"),
        (f'{{"alias":"{AMY}"}}\n[1]\n', "line 2: is no JSON object on one line"),
        ("alias,name\na\u009b@gzdev.com,x\nA\u009b@gzdev.com,x\n", "line 3: A\ufffd@gzdev.com stands in line 2 too"),
        ("alias,name\n,\n", "there is no row in it"),
        ("", "there is no row in it"),
    ],
)
async def test_a_wrong_row_is_told_with_its_line(api: Api, simulator: Simulator, text: str, says: str) -> None:
    """The whole file is checked before the provider hears anything; nobody's password is quoted."""
    code, out, err = await api(*SYNC, "-", stdin=text)
    assert (code, out, list(simulator.calls)) == (2, "", [])
    assert says in err
    assert "hush" not in err
    assert err.endswith("exmail-bridge: nothing was changed\n")


async def test_what_goes_with_a_file_only(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run of one call would be no dry run."""
    with pytest.raises(SystemExit):
        await api("user/sync", "--action", "MOD", "--alias", AMY, "--name", "x", "--dry-run")
    assert "--dry-run goes with --from FILE" in capsys.readouterr().err
