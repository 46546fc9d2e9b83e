"""The slope of an edge's memory and idleness: the arithmetic, and the whole by the smallest scale."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.bench.product import ROOT
from tests.bench.slope import RATES, middle, report, slope

WAYS = {f"p{share} {rate}": 1.5 for share in (50, 99) for rate in RATES}
FOUND = {
    1000: {"rss_kb": 90_000.0, "idle": 0.002, **WAYS},
    5000: {"rss_kb": 98_000.0, "idle": 0.010, **WAYS},
}


def test_the_slope_is_of_what_came_on_top() -> None:
    """What an edge takes without connections is no connection's."""
    assert slope(FOUND) == 2.0


def test_what_is_extrapolated_is_said_to_be() -> None:
    """More connections than were measured are in a line of their own, outside the table."""
    *table, _, each, beyond = report(FOUND)
    assert table[-1].startswith("| 5,000 | 96 MB | 1.00% of a core | 1.50, 1.50 ms |")
    assert each == "Each connection more, from 1,000 to 5,000: 2.00 KB."
    assert beyond.startswith("Extrapolated, not measured: 50,000 connections would take 184 MB")
    assert "10.0% of a core" in beyond


def test_the_middle_round_counts() -> None:
    """One slow minute of the machine changes nothing."""
    rounds = [{10: {"idle": value}} for value in (0.02, 0.9, 0.03)]
    assert middle(rounds) == {10: {"idle": 0.03}}


@pytest.mark.skipif(sys.platform != "linux", reason="CPU time and memory are read from /proc")
def test_the_command_measures_and_prints() -> None:
    """Connections that come on top of others, mails that all arrive, and nobody is lost meanwhile."""
    command = [sys.executable, "-m", "tests.bench.slope", "--sizes", "30", "60", "--seconds", "0.3"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0, told.stderr
    rows = [line for line in told.stdout.splitlines() if re.match(r"\| [\d,]+ \|", line)]
    assert [row.split(" | ")[0] for row in rows] == ["| 30", "| 60"]
    assert "not measured" in told.stdout
