"""The lease, fence and cursor protocol, explored: ``tests/model/__main__.py`` says how."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bridge.journal import witness
from tests.model.beside import Beside, Wanted, be_quick_and_quiet, explored
from tests.model.bounds import DEEP, QUICK
from tests.model.explorer import Found
from tests.model.mutations import MUTATIONS


@pytest.fixture(autouse=True)
def _quick_and_quiet() -> Iterator[None]:
    be_quick_and_quiet()
    yield
    gc.enable()
    gc.collect()
    logging.disable(logging.NOTSET)


def explores(name: str, mutation: str | None = None) -> pytest.MarkDecorator:
    return pytest.mark.explores(name, mutation)


@pytest.mark.parametrize("name", [pytest.param(name, marks=explores(name)) for name in QUICK])
def test_every_promise_holds_in_every_state(found: Found | None, name: str) -> None:
    """Two workers, a real script, and what the name says, in every order."""
    assert found is None, f"{found.promise}: python -m tests.model --replay {name!r} {','.join(found.trace)}"


@pytest.mark.parametrize("name", [pytest.param(name, marks=explores(MUTATIONS[name][0], name)) for name in MUTATIONS])
def test_a_spoilt_script_is_found_out(found: Found | None, name: str) -> None:
    """The model can fail: each guard of the script that is taken away breaks a promise somewhere."""
    assert found is not None, name


def test_an_end_that_is_seen_too_late_proves_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that believes what it sees after its lease is found out: another has led by then, and is lost."""
    monkeypatch.setattr(witness, "_STOOD", 9)
    assert explored(redis_url, ("a restart after another has led", None)) is not None


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


def test_a_process_beside_finds_the_same() -> None:
    """In the order of the asking, whatever order it was explored in."""
    mutation = min(MUTATIONS)
    wanted: list[Wanted] = [(MUTATIONS[mutation][0], mutation), ("an old server again, and nobody to ask", None)]
    beside = Beside(wanted)
    try:
        assert beside.found(wanted[1]) is None
        assert beside.found(wanted[0]) is not None
    finally:
        beside.close()
    with pytest.raises(EOFError):
        beside.found(("not explored", None))
