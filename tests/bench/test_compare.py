"""Two versions compared: when a difference is one, and that the command measures both and says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.compare import as_table, turns
from tests.bench.judge import judge
from tests.bench.product import ROOT, CannotMeasure, Product, commit_of, two_products
from tests.bench.rows import ROWS, chosen, parts

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5]
SMALLEST = ("--rounds", "1", "--seconds", "0.02", "--share", "0.01")


def compare(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench.compare", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def times(factor: float, figures: list[float]) -> list[float]:
    return [factor * each for each in figures]


@pytest.fixture
def checkout(require_binary: Callable[[str], str]) -> None:
    """These tests need the history of this repository."""
    require_binary("git")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")


def test_what_falls_in_every_round_beyond_the_noise_is_worse() -> None:
    """Where more is better; and where less is better it is better."""
    assert judge(STEADY, times(0.9, STEADY), more=True).word == "worse"
    assert judge(STEADY, times(0.9, STEADY), more=False).word == "better"
    assert judge(STEADY, times(1.1, STEADY), more=True).word == "better"
    assert judge(STEADY, times(1.1, STEADY), more=False).word == "worse"


def test_a_small_difference_is_none_however_steady() -> None:
    """Under 2 % another order of the same code can make a difference: where it lies in memory."""
    assert judge(STEADY, times(0.985, STEADY), more=True).word == "same"


def test_what_differs_less_than_repeats_do_is_no_difference() -> None:
    """All rounds agree by chance once in sixteen; what a version's own repeats differ by is the measure."""
    restless = [100.0, 120.0, 80.0, 110.0, 90.0]
    assert judge(restless, times(0.9, restless), more=True).word == "same"
    assert judge(STEADY, times(0.9, STEADY), more=True).word == "worse"


def test_rounds_that_disagree_prove_nothing() -> None:
    """One of five against the others; of eight, one may."""
    assert judge(STEADY, [80.0, 81.0, 79.0, 80.5, 100.0], more=True).word == "same"
    eight = [*STEADY, 100.0, 100.0, 100.0]
    assert judge(eight, [*times(0.8, eight[:7]), 101.0], more=True).word == "worse"


def test_a_slow_minute_that_hits_both_is_no_difference() -> None:
    """The two figures of a round are compared with each other, not with another round's."""
    slow = [100.0, 60.0, 100.0, 100.0, 60.0]
    assert judge(slow, slow, more=True).ratio == 1
    assert judge(slow, slow, more=True).word == "same"


def test_few_rounds_and_no_growth_are_said_not_judged() -> None:
    """Four rounds agree by chance once in eight; memory that did not grow has no ratio."""
    assert judge(STEADY[:4], times(0.5, STEADY[:4]), more=True).word == "?"
    assert judge([0.0] * 5, STEADY, more=False).word == "?"


def test_each_side_is_first_as_often_as_the_other() -> None:
    """Before, after, after, before: whoever comes second finds a warmer machine, or a more tired one."""
    assert [*turns(4)] == [(0, 1), (1, 0), (0, 1), (1, 0)]


def test_every_row_is_measured_once_with_its_like() -> None:
    """Both take turns at a few rows, not at all of them: a slow minute hits both."""
    each = parts(ROWS)
    assert sorted(row.name for part in each for row in part) == sorted(row.name for row in ROWS)
    assert [[row.name for row in part] for part in parts(chosen(("ws-*", "edge*")))] == [
        ["edge", "edge-start"],
        ["ws-1000"],
        ["ws-5000"],
    ]


def test_rows_are_chosen_by_name_or_pattern() -> None:
    """A name that is none is an error that tells the names."""
    assert chosen(()) == ROWS
    assert [row.name for row in chosen(("ws-*", "idle"))] == ["ws-1000", "ws-5000", "idle"]
    with pytest.raises(CannotMeasure, match=r"'wss' is no row; there are ws-1000, .*"):
        chosen(("wss",))


def test_the_table_names_what_is_better_or_worse() -> None:
    """A line for each row; only a verdict stands out."""
    rows = ROWS[:2]
    table = as_table(rows, [judge(STEADY, times(0.9, STEADY), more=True), judge(STEADY, STEADY, more=True)])
    assert table.splitlines()[2:] == [
        "| ws-1000 | frames for each CPU second | 100 | 90 | 0.900 | ±2.0% | **worse** |",
        "| sse-1000 | frames for each CPU second | 100 | 100 | 1.000 | ±2.0% | same |",
    ]


def test_a_setting_that_a_version_does_not_have_is_not_given_to_it(tmp_path: Path) -> None:
    """Programs refuse a setting that they do not know, and older versions know fewer."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/settings.md").write_text("| `BRIDGE_EDGE_LISTEN` | … |")
    assert Product(tmp_path, "old").knows("BRIDGE_EDGE_LISTEN")
    assert not Product(tmp_path, "old").knows("BRIDGE_EDGE_LIST")


@pytest.mark.usefixtures("checkout")
def test_a_commit_and_the_working_tree_stand_beside_each_other() -> None:
    """Each in a folder of its own, which is gone afterwards; what is edited meanwhile is not measured."""
    with two_products("HEAD", None) as (before, after):
        assert before.name == commit_of("HEAD")[:10]
        assert after.name.startswith(before.name)
        kept = subprocess.run(["git", "-C", ROOT, "show", "HEAD:bridge/events.py"], capture_output=True, check=True)
        assert (before.folder / "bridge/events.py").read_bytes() == kept.stdout
        assert (after.folder / "bridge/events.py").read_bytes() == (ROOT / "bridge/events.py").read_bytes()
        assert ROOT not in (*before.folder.parents, *after.folder.parents)
    assert not before.folder.exists()


@pytest.mark.usefixtures("checkout")
def test_a_commit_that_is_none_is_one_line() -> None:
    """Nothing is started, and the exit code is not the one of a row that is worse."""
    told = compare("no-such-commit", *SMALLEST)
    assert told.returncode == 2
    assert told.stderr == f"tests.bench.compare: 'no-such-commit' is no commit of {ROOT}\n"


@pytest.mark.usefixtures("checkout")
def test_both_are_measured_and_put_into_a_table() -> None:
    """An edge of both, by the smallest scale: one round proves nothing, and says so."""
    told = compare("HEAD", *SMALLEST, "--rows", "unicast", "edge")
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")][2:]
    assert [row[0].strip() for row in rows] == ["unicast", "edge"]
    assert all(float(row[2].replace(",", "")) > 0 and row[6].strip() == "?" for row in rows)
    assert lines[-1] == "?: fewer than 5 rounds prove nothing."
