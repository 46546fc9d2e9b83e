"""The runbook's commands, each as written, on a host that is laid out as the pages say and whose Redis knows users."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge import __version__
from bridge.simulator import Simulator, World
from tests.support.guarded import Guarded
from tests.support.operated import Machine, network
from tests.support.processes import ROOT, free_port
from tests.support.stage import SECRET
from tests.support.waiting import PATIENCE_S

RUNBOOK = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = """\
[redis]
url = "{redis}"
[provider]
client_id = "{client_id}"
api_url = "{provider}"
auth_url = "{provider}"
[edge]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:0"
"""


def lines_of(page: str) -> list[str]:
    """The lines of all its shell blocks, without comments."""
    return [re.sub(r"\s+# .*", "", line) for block in BLOCKS.findall(page) for line in block.splitlines() if line]


def runbook() -> list[str]:
    """Every command of ours on the page, in order: whole lines, and what the text names with whose settings it is run.

    A command without a name before it is the operator's, where Redis has users.
    """
    blocks = [line.removeprefix("sudo ") for line in lines_of(RUNBOOK) if re.match(r"(sudo )?exmail-bridge", line)]
    named = re.findall(r"`(exmail-bridge-as [^`]*)`", RUNBOOK)
    whole = [re.sub(r"^exmail-bridge ", "exmail-bridge-as operator ", line) for line in (*blocks, *named)]
    # The doctor, who brings his own settings, has tests of his own.
    return [line for line in dict.fromkeys(whole) if "doctor" not in line and "…" not in line.partition("--release")[0]]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


def readable(path: Path) -> bool:
    """Whether everybody may read a file, and enter a folder."""
    wanted = 0o005 if path.is_dir() else 0o004
    return path.stat().st_mode & wanted == wanted


def test_the_pages_have_commands() -> None:
    """The test below is about them."""
    assert len(runbook()) > 15
    assert {line.split()[1] for line in runbook()} == {"worker", "edge", "operator"}


async def test_what_is_installed_under_a_strict_umask_can_be_read_by_services(tmp_path: Path) -> None:
    """Some companies demand one. Units run as users of their own."""
    async with Machine(tmp_path / "host", f"{network()}.1").on() as host:
        await host.install(__version__, umask="077")
        installed = host.path("opt/exmail-bridge")
        closed = [path for path in installed.rglob("*") if not path.is_symlink() and not readable(path)]
        assert not [path.relative_to(installed) for path in closed]


async def test_each_command_runs_as_written(tmp_path: Path, guarded: Guarded, provider: Simulator) -> None:
    """None is a wrong call, lacks a right, a secret or a setting. The services run with what their units give them."""
    least_rights = [block for block in BLOCKS.findall(RUNBOOK) if "redis-$user" in block]
    async with Machine(tmp_path / "host", f"{network()}.1").on() as host:
        await host.install(__version__, provider.world.client_secret)
        for block in least_rights:
            await host.run(block)
        etc = host.path("etc/exmail-bridge")
        (etc / "jwt-secret").write_text(SECRET)
        (etc / "bridge.toml").write_text(
            SETTINGS.format(
                redis=guarded.server.url, client_id=provider.world.client_id, provider=provider.url, port=free_port()
            )
        )
        host.any_admin_port()
        await host.run("systemctl start exmail-bridge-worker@1 exmail-bridge-edge")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await asyncio.gather(*(each.ready() for each in host.services.running.values()))
        for line in runbook():
            command = f"timeout 10 {line}" if " events " in line else line
            said = await host.run(command, codes=(0, 1, 124))
            for wrong in ("NOPERM", "WRONGPASS", "NOAUTH", "Traceback", "not found: ", "Permission denied", "not set"):
                assert wrong not in said, (line, said)
    assert not guarded.refusals()


@pytest.mark.parametrize("words", [[], ["worker"], ["../x", "status"], ["-x", "status"]])
def test_a_wrong_call_is_told_how(words: list[str]) -> None:
    """Nothing is guessed."""
    code = "import sys; from bridge.commands.as_unit import main; sys.exit(main())"
    told = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE_S
    )
    assert told.returncode == 2
    assert told.stderr.startswith("usage: exmail-bridge-as WHO COMMAND")


def test_a_stranger_is_named(tmp_path: Path) -> None:
    """Who is neither a unit nor a file of variables."""
    code = "import sys; from bridge.commands.as_unit import main; sys.exit(main())"
    told = subprocess.run(
        [sys.executable, "-c", code, "nobody", "status"],
        env={**os.environ, "EXMAIL_BRIDGE_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_S,
    )
    assert told.returncode == 1
    assert told.stderr == (
        f"exmail-bridge-as: there is neither a unit exmail-bridge-nobody nor {tmp_path}/etc/exmail-bridge/nobody.env\n"
    )
