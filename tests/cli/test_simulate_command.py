"""``simulate`` as a program: it says where it is, ends when asked, and refuses in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bridge", "simulate", "--listen"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_asked(number):
    """A signal ends it with exit code 0, without a traceback."""
    with subprocess.Popen([*COMMAND, "127.0.0.1:0"], cwd=ROOT, stdout=-1, stderr=-1, text=True) as simulating:
        assert "ready at http://127.0.0.1:" in simulating.stdout.readline()
        os.kill(simulating.pid, number)
        _, said = simulating.communicate(timeout=PATIENCE_S)
    assert simulating.returncode == 0
    assert "Traceback" not in said


def test_a_taken_port_is_one_line():
    """Where another program listens, one line names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = subprocess.run(
            [*COMMAND, f"127.0.0.1:{port}"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert str(port) in told.stderr


def test_an_unreadable_plan_is_one_line(tmp_path):
    """A fault plan that is none is named before anything runs."""
    plan = tmp_path / "faults.toml"
    plan.write_text("[[[")
    told = subprocess.run(
        [*COMMAND, "127.0.0.1:0", "--faults", str(plan)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert told.returncode == 1
    # Not on a terminal its log lines are JSON, the last one too.
    [line] = told.stderr.splitlines()
    assert json.loads(line)["why"].startswith(f"{plan}: ")
