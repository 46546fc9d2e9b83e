"""Storms, small ones: what is printed of each."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.bench.product import ROOT


def test_each_storm_ends_and_is_told() -> None:
    """A line for each: all who were cut are back, all who left are gone, and a mail has come to all."""
    command = [sys.executable, "-m", "tests.bench.storm", "--share", "0.004", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--storms", "back", "leave", "many"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    back, leave, many = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert re.match(r"\| 40 are cut and come back \| all resumed after [\d.]+ s; \d+ µs of an edge each \|", back)
    assert re.match(r"\| 60 leave one mailbox \| gone after [\d.]+ s \|", leave)
    assert re.match(r"\| a mail for 20 connections of one mailbox \| p50 [\d.]+ ms, p99 [\d.]+ ms \|", many)
