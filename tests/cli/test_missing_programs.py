"""What a machine lacks is skipped and counted in one line, or fails where nothing may be skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
TESTS = """
def test_one(require_binary):
    require_binary("no-such-program")
def test_two(require_binary):
    require_binary("no-such-program")
def test_three(require_binary):
    assert require_binary("sh").startswith("/")
"""
WIRE = """
import execnet, pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    sent = execnet.dumps(item.config.hook.pytest_report_to_serializable(config=item.config, report=report))
    return item.config.hook.pytest_report_from_serializable(config=item.config, data=execnet.loads(sent))
"""
"""A plugin that sends each report over xdist's wire, as a test process does. Real test processes would be two runners
within a runner, which once in some fifty whole runs did not end."""


def run_tests(folder, *options, **environ):
    (folder / "test_programs.py").write_text(TESTS)
    (folder / "wire.py").write_text(WIRE)
    path = f"{ROOT / 'tests'}:{ROOT}:{folder}"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "conftest",
        "-c",
        "/dev/null",
        "--rootdir",
        folder,
        folder,
        *options,
    ]
    kept = {name: value for name, value in os.environ.items() if name != "BRIDGE_TEST_REQUIRE_ALL"}
    return subprocess.run(
        command,
        cwd=folder,
        env={**kept, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("options", [[], ["-p", "wire"]], ids=["own reports", "reports of another process"])
def test_a_missing_program_skips_and_is_counted(tmp_path, options):
    """One closing line says how many tests were skipped and what to install."""
    told = run_tests(tmp_path, *options)
    assert told.returncode == 0, told.stdout
    assert "2 tests skipped: apt install no-such-program\n" in told.stdout
    assert "1 passed, 2 skipped" in told.stdout


def test_nothing_may_be_skipped_where_all_is_required(tmp_path):
    """``BRIDGE_TEST_REQUIRE_ALL=1`` makes a missing program a failure."""
    told = run_tests(tmp_path, BRIDGE_TEST_REQUIRE_ALL="1")
    assert told.returncode == 1
    assert "2 failed, 1 passed" in told.stdout
