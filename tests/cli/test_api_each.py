"""``api … --from FILE`` for what is only read, and for groups, which cannot be read back; files as people have them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.simulator import Simulator
from bridge.simulator.world.groups import Group, GroupStatus
from tests.support.waiting import PATIENCE_S

from .conftest import AMY, Api

ROOT = Path(__file__).parents[2]
BOB = "bob@gzdev.com"
TEAM = "team@gzdev.com"
FAST = ("--rate", "1000", "--from")


@pytest.mark.parametrize(
    "data",
    [
        f"\ufeff账号,职位\r\n{AMY},工程师\r\n".encode(),
        f"账号,职位\r\n\r\n{AMY},工程师\r\n,\r\n".encode("gbk"),
        f"帐号\t职务\r\n{AMY}\t工程师\r\n".encode("utf-16"),
        f'"账号 ",部门,"＊职位"\r\n"{AMY}",,"工程师"'.encode(),
        f"邮箱;岗位;\r{AMY};工程师;\r".encode("gb18030"),
        json.dumps({"Alias": AMY, "Position": "工程师"}, ensure_ascii=False).encode(),
    ],
    ids=["utf-8 with a mark", "gbk", "utf-16 with tabs", "quoted", "semicolons", "json"],
)
async def test_a_file_as_a_spreadsheet_writes_it(api: Api, simulator: Simulator, data: bytes) -> None:
    """Any of the encodings, separators and line ends, headings in either language, empty lines and columns."""
    code, out, _ = await api("user/sync", *FAST, "-", stdin=data)
    assert (code, out.split("\t")[2]) == (0, "changed")
    assert simulator.world.accounts[AMY].position == "工程师"


async def test_reading_many(api: Api, simulator: Simulator) -> None:
    """The answer of each row on its line, also that there is none; the exit code says so."""
    code, out, _ = await api("user/get", *FAST, "-", "--json", stdin=f"email\n{AMY}\nnobody@gzdev.com\n")
    amy, nobody = map(json.loads, out.splitlines())
    assert (code, amy["answer"]["name"], nobody["result"]) == (3, "艾米", "not-found")
    code, out, _ = await api("mail/newcount", *FAST, "-", stdin=f"alias\n{BOB}\n")
    assert (code, out) == (0, f"2\t{BOB}\tfound\t{simulator.world.unread[BOB]}\n")
    code, out, _ = await api("user/check", *FAST, "-", stdin="邮箱\nfree@gzdev.com\n")
    assert (code, out) == (0, "2\tfree@gzdev.com\tfound\tfree@gzdev.com: free\n")
    code, out, _ = await api("partyuser/list", *FAST, "-", stdin="部门\n广州研发中心/企业邮箱\n")
    assert (code, out) == (0, f"2\t广州研发中心/企业邮箱\tfound\t{BOB}\n")


async def test_members_of_groups(api: Api, simulator: Simulator) -> None:
    """A group for all by an option, or one in each row; a dry run sends nothing; again does no harm."""
    simulator.world.roster.groups.put(Group(TEAM, "team", GroupStatus.ALL, ()))
    words = ("group/addmember", *FAST, "-", "--group-alias", TEAM)
    code, out, _ = await api(*words, "--dry-run", stdin=f"成员\n{BOB}；{AMY}\n")
    assert (code, out, simulator.calls.count("group/addmember")) == (0, f"2\t{TEAM}\twould-send\n", 0)
    for _ in range(2):
        assert (await api(*words, stdin=f"成员\n{BOB}；{AMY}\n"))[:2] == (0, f"2\t{TEAM}\tdone\n")
    assert set(simulator.world.roster.groups.all[TEAM].members) == {BOB, AMY}
    file = f"群组,成员\n{TEAM},{BOB}\nnone@gzdev.com,{BOB}\n"
    code, out, _ = await api("group/deletemember", *FAST, "-", stdin=file)
    assert (code, [line.split("\t")[2] for line in out.splitlines()]) == (3, ["done", "not-found"])
    assert simulator.world.roster.groups.all[TEAM].members == (AMY,)


async def test_a_group_whose_answer_is_lost_is_not_written_twice(api: Api, simulator: Simulator) -> None:
    """It cannot be looked at: the row says so, the next ones are done; what was put off is sent again."""
    simulator.world.roster.groups.put(Group(TEAM, "team", GroupStatus.ALL, ()))
    simulator.faults.on("lost", endpoint="group/addmember", times=1)
    file = f"群组,成员\n{TEAM},{BOB}\n{TEAM},{AMY}\n"
    code, out, _ = await api("group/addmember", *FAST, "-", stdin=file)
    assert (code, [line.split("\t")[2] for line in out.splitlines()]) == (6, ["unknown", "done"])
    simulator.faults.on("errcode", endpoint="group/addmember", value=1002, times=1)
    assert (await api("group/addmember", *FAST, "-", stdin=file))[0] == 0
    assert [call.outcome for call in simulator.calls.of("group/addmember")] == ["lost", "ok", "1002", "ok", "ok"]


async def test_a_file_that_cannot_be_used(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there, a folder, neither UTF-8 nor GBK, UTF-8 with a bad byte, too large, too many rows: one line each."""
    broken = f"alias,name\n{AMY},艾米\n{BOB},工程师".encode()[:-1]
    for data, says in (
        (broken, "line 3: is not UTF-8 text; was the file cut off or mixed?"),
        (b"alias,name\n" + AMY.encode() + b",\xff\xff\n", "line 2: is neither UTF-8 nor GBK text"),
        (b"\xef\xbb\xbfalias\n\xd6\xd0", "line 2: is not UTF-8 text"),
    ):
        code, _, err = await api("user/sync", *FAST, "-", stdin=data)
        assert (code, says in err) == (2, True)
    for name in (tmp_path / "none.csv", tmp_path):
        code, _, err = await api("user/get", *FAST, str(name))
        assert (code, f"{name} cannot be read: " in err) == (2, True)
    monkeypatch.setattr("bridge.commands.api.sheet.MOST_BYTES", 10)
    assert (await api("user/get", *FAST, "-", stdin="alias\nmore@than.ten"))[0] == 2
    monkeypatch.undo()


def program(environ: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    # As a script has it: what goes to a file or a pipe is kept back by Python itself.
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **environ}


async def test_a_terminal_of_gbk(environ: dict[str, str], simulator: Simulator) -> None:
    """Standard streams of GBK: rows of GBK are read from a pipe, names of any script are written, no traceback."""
    simulator.world.add_user("emoji@gzdev.com", name="龙🐉")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "api", "user/sync", "--from", "-", "--dry-run"),
        env=program(environ) | {"PYTHONIOENCODING": "gbk"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    rows = f"账号,姓名\n{AMY},张三\nemoji@gzdev.com,龙\n".encode("gbk")
    out, err = await asyncio.wait_for(process.communicate(rows), PATIENCE_S)
    assert process.returncode == 0, err
    assert out.decode("gbk").splitlines() == [
        f"2\t{AMY}\twould-change\tname: 艾米 → 张三",
        "3\temoji@gzdev.com\twould-change\tname: 龙\\ud83d\\udc09 → 龙",
    ]


async def test_names_of_files_are_bytes(environ: dict[str, str], tmp_path: Path) -> None:
    """A path that is no UTF-8, and standard input that is closed: one line, in JSON too."""
    for ending, code in ((rb"--from $(printf '\326\320')", 2), (b"--from - <&-", 2)):
        for words in (b"", b" --json"):
            process = await asyncio.create_subprocess_exec(
                *(b"sh", b"-c", os.fsencode(sys.executable) + b" -m bridge api user/get" + words + b" " + ending),
                env=program(environ),
                cwd=tmp_path,
                stderr=subprocess.PIPE,
            )
            _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
            assert (process.returncode, b"Traceback" in err) == (code, False), err
            assert not words or json.loads(err)["error"]["kind"] == "misused"


@pytest.mark.parametrize(
    ("signal", "code", "sum_of"), [(2, 130, b"exmail-bridge: 1 changed\n"), (9, -9, b"")], ids=["Ctrl-C", "kill"]
)
async def test_stopped_between_two_rows(
    environ: dict[str, str], simulator: Simulator, api: Api, tmp_path: Path, signal: int, code: int, sum_of: bytes
) -> None:
    """What has happened is printed already, whatever ends the run, and another one does the rest."""
    rows = f"alias,name\n{AMY},Amy\n{BOB},Robert\n"
    (tmp_path / "rows").write_text(rows)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "api", "user/sync", "--from", str(tmp_path / "rows")),
        env=program(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    await simulator.calls.wait("user/sync", timeout_s=PATIENCE_S)
    simulator.faults.on("errcode", endpoint="user/sync", value=1002)
    await simulator.calls.wait("user/sync", 2, timeout_s=PATIENCE_S)
    process.send_signal(signal)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, err) == (code, sum_of)
    assert out.decode().startswith(f"2\t{AMY}\tchanged\t")
    simulator.faults.clear()
    done, again, _ = await api("user/sync", *FAST, "-", stdin=rows)
    assert (done, [line.split("\t")[2] for line in again.splitlines()]) == (0, ["unchanged", "changed"])


async def test_a_full_disk_ends_the_run(environ: dict[str, str], simulator: Simulator, tmp_path: Path) -> None:
    """A result that cannot be printed is the last one: nobody would know of the next."""
    (tmp_path / "rows").write_text(f"alias,name\n{AMY},Amy\n{BOB},Robert\n")
    command = f"{sys.executable} -m bridge api user/sync --from rows >/dev/full"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", command), env=program(environ), cwd=tmp_path, stderr=subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, b"Traceback" in err) == (1, False), err
    assert b"standard output cannot be written: No space left on device" in err
    assert simulator.calls.count("user/sync") == 1


async def test_the_bar_is_for_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    """On standard error, and gone at the end; the lines of standard output are whole."""
    (tmp_path / "rows").write_text(f"alias\n{AMY}\n{BOB}\n")
    here, there = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "api", "user/get", "--json", "--from", str(tmp_path / "rows")),
        env=program(environ),
        stdout=subprocess.PIPE,
        stderr=there,
    )
    os.close(there)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert len([json.loads(line) for line in out.splitlines()]) == 2
    shown = os.read(here, 4096).decode()
    os.close(here)
    assert "calling [########################] 2/2" in shown
    assert shown.splitlines()[-1] == '{"note":"2 found","counts":{"found":2}}'
