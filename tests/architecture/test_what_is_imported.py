"""What a program brings into memory: a command that answers at once, and a worker without the edge."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = "import sys; {0}; print(*sys.modules)"


def imported(statement: str) -> set[str]:
    program = [sys.executable, "-c", MODULES.format(statement)]
    return set(subprocess.run(program, capture_output=True, text=True, check=True).stdout.split())


def test_the_command_line_answers_without_what_it_runs() -> None:
    """Help, a mistyped option and completion wait for no library; what a command runs is imported when it runs."""
    assert imported("import bridge.cli").isdisjoint({"aiohttp", "redis", "jwt", "prometheus_client", "bridge.app"})


@pytest.mark.parametrize(
    ("program", "foreign"),
    [
        ("worker", {"bridge.edge", "bridge.signon", "bridge.simulator", "jwt"}),
        ("edge", {"bridge.worker", "bridge.simulator"}),
        ("signon", {"bridge.worker", "bridge.simulator"}),
    ],
)
def test_a_program_imports_no_other(program: str, foreign: set[str]) -> None:
    """Each program costs the memory and the start of its own parts only."""
    assert imported(f"import bridge.app.fitness, bridge.app.{program}").isdisjoint(foreign)
