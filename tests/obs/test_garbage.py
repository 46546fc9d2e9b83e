"""The collector of a worker and of an edge walks through nothing that lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.support.processes import edge_environ, free_port, program, worker_environ
from tests.support.waiting import until

GROWTH = """
import gc
from bridge.obs.garbage import Garbage
garbage = Garbage()
at_first = gc.get_freeze_count()
kept = [[number] for number in range(5000)]
garbage.grown(500)
few = gc.get_freeze_count()
garbage.grown(5000)
many = gc.get_freeze_count()
garbage.grown(10)
print(at_first > 1000, few <= at_first, many >= at_first + 5000, gc.get_freeze_count() < 100, gc.get_threshold())
"""
WATCHED = """
import gc, os, signal
def tell(*_):
    with open(os.environ["TOLD"], "w") as file:
        file.write(f"{gc.get_freeze_count()} {gc.get_threshold()[0]}")
signal.signal(signal.SIGUSR1, tell)
"""


def test_it_freezes_as_connections_come_and_thaws_when_most_have_gone() -> None:
    """What is frozen is never collected, so a great departure gives back what it froze."""
    told = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert told.stdout == "True True True True (20000, 50, 50)\n"


@pytest.mark.parametrize("role", ["worker", "edge"])
async def test_the_program_freezes_what_it_was_made_of(redis_url: str, tmp_path: Path, role: str) -> None:
    """A collection of a program that nobody tuned takes as long as its code is large, in the middle of a mail."""
    (tmp_path / "sitecustomize.py").write_text(WATCHED)
    watched = {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}", "TOLD": str(tmp_path / "told")}
    async with await Simulator.start(World(users=2)) as provider:
        environ = worker_environ(redis_url, provider) if role == "worker" else edge_environ(redis_url, free_port())
        async with program(role, environ={**environ, **watched}) as running:
            await running.ready()

            def told() -> list[int]:
                running.signal(signal.SIGUSR1)
                said = (tmp_path / "told").read_text() if (tmp_path / "told").exists() else ""
                return [int(word) for word in said.split()]

            await until(lambda: len(found := told()) == 2 and found[0] > 10_000 and found[1] == 20_000)
