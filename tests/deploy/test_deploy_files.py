"""The units under ``deploy/systemd`` are read by the programs that they are written for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.settings.table import TABLE
from tests.support.stopping import longest_stop_s, seconds_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def run(*words: object, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_valid(unit: Path, require_binary: Callable[[str], str], tmp_path: Path):
    """``systemd-analyze verify`` accepts each unit without a word; only the program's path is another one here."""
    text = unit.read_text()
    for name in ("exmail-bridge", "exmail-bridge-secrets"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    # A template is looked at as one of its instances, with its drop-ins.
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(text.replace("/opt/exmail-bridge/bin/", f"{tmp_path}/"))
    assert copy.read_text() != text
    shutil.copytree(unit.with_name(f"{unit.name}.d"), tmp_path / f"{copy.name}.d")
    told = run(require_binary("systemd-analyze"), "verify", "--man=no", copy)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_closed(unit: Path, require_binary: Callable[[str], str]):
    """``systemd-analyze security`` rates each unit 1.5 or better, of 10 for an open one."""
    told = run(require_binary("systemd-analyze"), "security", "--offline=true", "--threshold=15", "--no-pager", unit)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_set_only_settings(unit: Path):
    """A variable in a unit, or in its drop-in, is a setting of ours, and a secret is in the runtime directory, where it
    is handed on at the start and at a reload, before the program reads it."""
    known = {setting.variable for setting in TABLE}
    text = unit.read_text()
    [folder] = re.findall(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE)
    [drop_in] = unit.with_name(f"{unit.name}.d").glob("*.conf")
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", text + drop_in.read_text(), re.MULTILINE):
        assert name.removesuffix("_FILE") in known
        assert not name.endswith("_FILE") or value.startswith(f"%t/{folder}/")
    handed_on = f"=+/opt/exmail-bridge/bin/exmail-bridge-secrets %t/{folder}\n"
    assert f"ExecStartPre{handed_on}" in text
    assert f"ExecReload{handed_on}ExecReload=+/bin/kill -HUP $MAINPID\n" in text
    assert "Type=notify\n" in text


def test_a_unit_lets_the_edge_end_by_itself():
    """systemd waits longer than an edge, and the parent of its processes, may take by their settings."""
    unit = (DEPLOY / "systemd" / "exmail-bridge-edge.service").read_text()
    [patience] = re.findall(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE)
    assert seconds_of(patience) > longest_stop_s() + 5
