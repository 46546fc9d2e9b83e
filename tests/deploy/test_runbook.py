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

from bridge.commands.as_unit import variables_of
from bridge.simulator import Simulator, World
from tests.support.guarded import Guarded
from tests.support.processes import ROOT, free_port, program
from tests.support.stage import SECRET

DEPLOYMENT = (ROOT / "docs/deployment.md").read_text()
RUNBOOK = (ROOT / "docs/operations.md").read_text()
BLOCKS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LAYING_OUT = ("mkdir", "install", "ln", "cp")
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


class Host:
    """A host whose file system begins at ``root``."""

    def __init__(self, root: Path, guarded: Guarded, key: str) -> None:
        self.root = root
        self.key = key
        for folder in ("etc/systemd/system", "usr/local/bin", "opt/exmail-bridge/bin"):
            (root / folder).mkdir(parents=True)
        # What pip puts there.
        for name, module in (("exmail-bridge", "bridge.__main__"), ("exmail-bridge-as", "bridge.commands.as_unit")):
            script = root / "opt/exmail-bridge/bin" / name
            script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
            script.chmod(0o755)
        self.passwords = guarded.passwords
        self.environ = {
            "PATH": f"{root}/usr/local/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "EXMAIL_BRIDGE_ROOT": str(root),
            "LANG": "C.UTF-8",
        }

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line], cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=120, input=self.key
        )

    def lay_out(self, page: str) -> None:
        """Do what the page says with files; the places are below ``root``."""
        for line in lines_of(page):
            words = line.replace("sudo ", "")
            lays_out = re.search(rf"(^|[|;] *|do )({'|'.join(LAYING_OUT)}) ", words)
            if lays_out and re.search(r" /(etc/exmail-bridge|etc/systemd|usr/local|opt)", words):
                words = re.sub(r" /(etc/exmail-bridge|etc/systemd|opt|usr)", rf" {self.root}/\1", words)
                done = self.run(words.replace("passwords/", f"{self.passwords}/"))
                assert done.returncode == 0, (line, done.stderr)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


def test_the_pages_have_commands() -> None:
    """The test below is about them."""
    assert len(runbook()) > 15
    assert {line.split()[1] for line in runbook()} == {"worker", "edge", "operator"}


async def test_each_command_runs_as_written(tmp_path: Path, guarded: Guarded, provider: Simulator) -> None:
    """None is a wrong call, lacks a right, a secret or a setting. The services run with what their units give them."""
    host = Host(tmp_path / "host", guarded, provider.world.client_secret)
    host.lay_out(DEPLOYMENT.partition("## With compose")[0])
    host.lay_out(RUNBOOK.partition("### Least rights")[2].partition("\n## ")[0])
    etc = host.root / "etc/exmail-bridge"
    (etc / "jwt-secret").write_text(SECRET)
    (etc / "bridge.toml").write_text(
        SETTINGS.format(
            redis=guarded.server.url, client_id=provider.world.client_id, provider=provider.url, port=free_port()
        )
    )
    # The port of the unit is the host's own; here others may have it.
    own = host.root / "etc/systemd/system/exmail-bridge-worker@1.service.d"
    own.mkdir()
    (own / "admin.conf").write_text("[Service]\nEnvironment=BRIDGE_WORKER_ADMIN_LISTEN=127.0.0.1:0\n")
    worker, edge = (variables_of(who, host.root) for who in ("worker", "edge"))
    assert worker is not None
    assert edge is not None
    assert edge["BRIDGE_EDGE_JWT_SECRET_FILE"] == str(etc / "jwt-secret")
    async with program("worker", environ=worker) as leader, program("edge", environ=edge) as door:
        await asyncio.gather(leader.ready(), door.ready())
        await provider.listeners.wait_hearing(1)
        for line in runbook():
            told = await asyncio.to_thread(host.run, f"timeout 10 {line}" if " events " in line else line)
            said = told.stdout + told.stderr
            assert told.returncode in (0, 1, 124), (line, said)
            for wrong in ("NOPERM", "WRONGPASS", "NOAUTH", "Traceback", "not found: ", "Permission denied", "not set"):
                assert wrong not in said, (line, said)
    assert not guarded.refusals()


@pytest.mark.parametrize("words", [[], ["worker"], ["../x", "status"], ["-x", "status"]])
def test_a_wrong_call_is_told_how(words: list[str]) -> None:
    """Nothing is guessed."""
    code = "import sys; from bridge.commands.as_unit import main; sys.exit(main())"
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=60)
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
        timeout=60,
    )
    assert told.returncode == 1
    assert told.stderr == (
        f"exmail-bridge-as: there is neither a unit exmail-bridge-nobody nor {tmp_path}/etc/exmail-bridge/nobody.env\n"
    )
