"""The lease, fence and cursor protocol, explored: ``tests/model/__main__.py`` says how."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.journal import witness
from bridge.journal.script import SOURCE
from tests.model.bounds import DEEP, QUICK
from tests.model.datasets import Datasets
from tests.model.explorer import Explorer, Found
from tests.model.mutations import MUTATIONS, spoilt


@pytest.fixture(autouse=True)
def _quick_and_quiet() -> Iterator[None]:
    """A writer warns when it claims again, here ten thousand times; and a collector that walks through all states that
    were kept, again and again, takes a third of the time."""
    logging.disable(logging.WARNING)
    gc.disable()
    yield
    gc.enable()
    gc.collect()
    logging.disable(logging.NOTSET)


def explored(url: str, name: str, source: bytes = SOURCE) -> Found | None:
    bounds = (QUICK | DEEP)[name]
    datasets = Datasets(url, source, backward=bounds.backward)
    explorer = Explorer(datasets, bounds)
    try:
        return explorer.explore()
    finally:
        explorer.close()
        datasets.close()


@pytest.mark.parametrize("name", QUICK)
def test_every_promise_holds_in_every_state(redis_url: str, name: str) -> None:
    """Two workers, a real script, and what the name says, in every order."""
    found = explored(redis_url, name)
    assert found is None, f"{found.promise}: python -m tests.model --replay {name!r} {','.join(found.trace)}"


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_spoilt_script_is_found_out(redis_url: str, name: str) -> None:
    """The model can fail: each guard of the script that is taken away breaks a promise somewhere."""
    assert explored(redis_url, MUTATIONS[name][0], spoilt(SOURCE, name)) is not None


def test_an_end_that_is_seen_too_late_proves_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that believes what it sees after its lease is found out: another has led by then, and is lost."""
    monkeypatch.setattr(witness, "_STOOD", 9)
    assert explored(redis_url, "a restart after another has led") is not None


def test_a_trace_can_be_replayed() -> None:
    """The command that a failure prints shows the way there, and says whether a promise broke."""
    trace = "a,a,failover1,a-moves,a-wakes,a"
    shown = subprocess.run(
        [sys.executable, "-m", "tests.model", "--replay", "failover of an idle leader", trace],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a: record 1:a1 1" in shown.stdout
    assert shown.stdout.count("server 1:") == 4
    assert set(DEEP).isdisjoint(QUICK)
