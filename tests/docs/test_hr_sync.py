"""``docs/hr-sync.md``: its script and its other calls run as they are written, on the file that it shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.commands.api.columns import ACTION, NAMES
from bridge.commands.api.ending import EXIT_CODES
from bridge.provider.bizmail.endpoints import USER_ADD
from bridge.simulator import Simulator, World
from bridge.simulator.world.account import Action
from bridge.simulator.world.groups import Group, GroupStatus
from bridge.simulator.world.parties import PartyWrite
from tests.docs.pages import ROOT, Page
from tests.support.waiting import PATIENCE_S

PAGE = Page(ROOT / "docs" / "hr-sync.md")
SCRIPT = PAGE.block("sh", holding="#!/bin/sh")
AMY, NEW, ADMIN, BOB = (f"{name}@gzdev.com" for name in ("amy", "new", "admin", "bob"))


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    world = World(7, users=1)
    world.add_user(AMY, name="艾米")
    world.add_user(ADMIN, name="admin")
    async with await Simulator.start(world) as running:
        yield running


class Host:
    """A host on which the program is on PATH, and what the page names is there."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        program = folder / "exmail-bridge"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bridge "$@"\n')
        program.chmod(0o755)
        (folder / "hr-sync.sh").write_text(SCRIPT)
        (folder / "people.csv").write_text(PAGE.block("csv"))
        (folder / "departments.csv").write_text(PAGE.block("csv", holding="原部门"))
        (folder / "members.csv").write_text(f"成员\n{AMY}\n")
        (folder / "addresses.csv").write_text(f"邮箱\n{AMY}\n")
        (folder / "first-password").write_text("a first password\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        path = f"{folder}:{os.environ['PATH']}"
        self._environ = {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **environ}

    async def run(self, *words: str) -> tuple[int | None, list[str], str]:
        """Exit code, lines of output, standard error."""
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=self.folder,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        return process.returncode, out.decode().splitlines(), err.decode()


@pytest.fixture
def host(simulator: Simulator, redis_url: str, tmp_path: Path) -> Host:
    (tmp_path / "key").write_text(simulator.world.client_secret)
    return Host(
        tmp_path,
        {
            "BRIDGE_REDIS_URL": redis_url,
            "BRIDGE_PROVIDER_API_URL": simulator.url,
            "BRIDGE_PROVIDER_AUTH_URL": simulator.url,
            "BRIDGE_PROVIDER_CLIENT_ID": simulator.world.client_id,
            "BRIDGE_PROVIDER_CLIENT_SECRET_FILE": str(tmp_path / "key"),
        },
    )


async def test_the_script_makes_accounts_as_the_list_says(host: Host, simulator: Simulator) -> None:
    """The first night changes, the second prints nothing; the administrator stays."""
    nightly = ("sh", "hr-sync.sh", "people.csv", "first-password")
    code, out, err = await host.run(*nightly)
    assert (code, [line.split("\t")[1:3] for line in out]) == (
        0,
        [[AMY, "changed"], [NEW, "added"], [BOB, "disabled"]],
    ), err
    accounts = simulator.world.accounts
    assert (accounts[AMY].mobile, accounts[NEW].position, accounts[BOB].disabled) == ("13800000000", "工程师", True)
    assert not accounts[ADMIN].disabled
    assert (await host.run(*nightly))[:2] == (0, [])
    assert not list(host.folder.glob("tmp.*"))
    (host.folder / "people.csv").write_text("alias,nmae\n")
    code, out, err = await host.run(*nightly)
    assert (code, out) == (2, [])


async def test_the_other_calls_run(host: Host, simulator: Simulator) -> None:
    """The dry run first, which changes nothing; departments; members of a group; and reading."""
    simulator.world.roster.groups.put(Group("team@gzdev.com", "team", GroupStatus.ALL, ()))
    calls = [line for block in PAGE.blocks if block.language == "sh" for line in block.text.splitlines()]
    [dry, departments, add, read] = [shlex.split(line) for line in calls if line.startswith("exmail-bridge")]
    code, out, err = await host.run(*dry)
    would = [[AMY, "would-change"], [NEW, "would-add"], [BOB, "would-disable"]]
    assert (code, [line.split("\t")[1:3] for line in out]) == (0, would), err
    assert simulator.calls.count("user/sync") == 0
    simulator.world.roster.change_party(PartyWrite(Action.ADD, ("旧部门",)))
    code, out, err = await host.run(*departments)
    assert [line.split("\t")[1:3] for line in out] == [
        ["市场部", "moved"],
        ["广州研发中心/测试部", "added"],
        ["旧部门", "deleted"],
    ], err
    assert {"市场与品牌部", "广州研发中心/测试部"} <= set(simulator.world.roster.parties.paths)
    assert (await host.run(*add))[1] == ["2\tteam@gzdev.com\tdone"]
    assert simulator.world.roster.groups.all["team@gzdev.com"].members == (AMY,)
    code, [line], _ = await host.run(*read)
    assert (code, json.loads(line)["answer"]["name"]) == (0, "艾米")


async def test_results_are_json_as_shown(host: Host, simulator: Simulator) -> None:
    """The two objects of the page are two rows of its file, where a group has the second's address."""
    (host.folder / "people.csv").write_text(
        f"alias,手机,name\n{AMY},13800000000,\n{NEW},,新同事\n",
    )
    simulator.world.roster.groups.put(Group(NEW, "new", GroupStatus.ALL, ()))
    simulator.world.modify_user(AMY, mobile="")
    sync = ("exmail-bridge", "api", "user/sync", "--from", "people.csv", "--password-file", "first-password", "--json")
    code, out, err = await host.run(*sync)
    assert code == 4, err
    changed, refused = map(json.loads, out)
    [shown, other] = map(json.loads, PAGE.block("json").splitlines())
    assert changed == shown
    refused["error"]["message"] = "…"
    assert refused == other


def test_the_page_has_every_name_of_a_column() -> None:
    """The table and the code say the same."""
    table = PAGE.prose.partition("| column |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*)\|", table, re.MULTILINE)
    told = {key: tuple(re.findall(r"`([^`]+)`", names)) for key, names in rows}
    keys = [parameter.key for parameter in USER_ADD.parameters]
    assert told == {key: NAMES[key] for key in [*keys, ACTION]}
    departments = PAGE.prose.partition("## Departments")[2].partition("\n\n- ")[0]
    for key in ("party", "source"):
        assert f"`{key}` ({', '.join(f'`{name}`' for name in NAMES[key])})" in departments


def test_the_page_has_every_exit_code() -> None:
    """As the help has them."""
    in_help = re.findall(r"^  (\d)  ", EXIT_CODES, re.MULTILINE)
    assert re.findall(r"^\| (\d) \|", PAGE.prose, re.MULTILINE) == in_help
