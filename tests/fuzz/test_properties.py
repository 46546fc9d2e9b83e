"""The targets of the fuzzer, a little of each in every run of the suite."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
NAMES = list(TARGETS)
SOME = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def pieced(draw: st.DrawFn, name: str) -> bytes:
    """Good inputs cut up and put together anew, with rubbish between."""
    target = TARGETS[name]
    cuts = st.builds(
        lambda seed, a, b: seed[min(a, b) : max(a, b)],
        st.sampled_from(target.seeds),
        st.integers(0, 400),
        st.integers(0, 400),
    )
    pieces = st.one_of(st.sampled_from(target.seeds), cuts, st.sampled_from(target.words), st.binary(max_size=8))
    return b"".join(draw(st.lists(pieces, min_size=1, max_size=6)))[: target.longest]


@pytest.mark.parametrize("name", NAMES)
def test_good_inputs_hold(name: str) -> None:
    """Or the fuzzer begins with nothing."""
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_hold(name: str) -> None:
    """No exception but the documented ones, and what else each target promises."""

    @SOME
    @given(st.binary(max_size=300) | pieced(name))
    def holds(data: bytes) -> None:
        TARGETS[name].run(data)

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_some_mutations_hold(name: str) -> None:
    """As ``python -m tests.fuzz`` goes on with."""
    target = TARGETS[name]
    mutator = Mutator(target.seeds, target.words, longest=target.longest, seed=2)
    for _ in range(200):
        target.run(mutator.next())


def test_the_program(tmp_path: Path) -> None:
    """It counts, ends by itself, and runs one input again."""
    program = [sys.executable, "-m", "tests.fuzz", "position"]
    ran = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    told = ran([*program, "--bytes", "2000", "--plain"])
    assert told.stdout.startswith("position: 2,0")
    assert "seed 1" in told.stdout
    (tmp_path / "input").write_bytes(b"k3f9a2xq-42")
    told = ran([*program, "--input", str(tmp_path / "input")])
    assert told.stdout == "holds\n"
