"""``test``: run all tests, without any configuration of this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bridge.commands.command import FAILED, MISUSED, Command

_MOST_AT_ONCE = 4


def _add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Everything after ``test`` goes to pytest."""


def _run(arguments: argparse.Namespace) -> int:
    root = Path(__file__).resolve().parents[2]
    if not (root / "tests" / "conftest.py").is_file():
        sys.stderr.write("exmail-bridge: the tests are in the source checkout, not in the installed package\n")
        return MISUSED
    # A test run must never use the Redis or the provider that the shell is configured for.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("BRIDGE_") or name.startswith("BRIDGE_TEST_")
    }
    os.chdir(root)
    sys.stdout.flush()
    try:
        # Replace this process, so that signals and the exit code are pytest's own.
        words = arguments.rest or _everything()
        os.execve(sys.executable, [sys.executable, "-m", "pytest", *words], kept)  # noqa: S606 - our own Python
    except OSError as error:
        sys.stderr.write(f"exmail-bridge: cannot run {sys.executable}: {error.strerror}\n")
    return FAILED


def _everything() -> list[str]:
    """Options to run test files in parallel, two for each core, because tests mostly wait.

    The tests of one file stay together, because they share what they start. The order of the files is that of
    ``tests/conftest.py``: by itself xdist would leave the longest for the end.
    """
    processes = str(min(2 * (os.cpu_count() or 1), _MOST_AT_ONCE))
    return ["-n", processes, "--dist", "loadfile", "--no-loadscope-reorder"]


COMMAND = Command(
    name="test",
    summary="run all tests; what follows goes to pytest",
    examples=("test", "test tests/edge -x", "test -k resume"),
    add_arguments=_add_arguments,
    run=_run,
    passes_on=True,
)
