"""Explores in a process beside the tests, from their beginning on: nothing but a processor is needed for it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bridge.journal.embedded import EmbeddedServer
from bridge.journal.script import SOURCE
from tests.model.bounds import DEEP, QUICK
from tests.model.datasets import Datasets
from tests.model.explorer import Explorer, Found
from tests.model.mutations import spoilt

Wanted = tuple[str, str | None]
"""The name of the bounds, and of the mutation of the script."""


def explored(url: str, wanted: Wanted) -> Found | None:
    """Explore on the Redis at ``url``; return the promise that broke."""
    name, mutation = wanted
    bounds = (QUICK | DEEP)[name]
    datasets = Datasets(url, SOURCE if mutation is None else spoilt(SOURCE, mutation), backward=bounds.backward)
    explorer = Explorer(datasets, bounds)
    try:
        return explorer.explore()
    finally:
        explorer.close()
        datasets.close()


class Beside:
    """What was found for each of these, explored one after the other on a Redis of its own."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        context = multiprocessing.get_context("spawn")
        self._told, tells = context.Pipe(duplex=False)
        self._found: dict[Wanted, Found | None] = {}
        # A daemon ends with us, and its Redis with it.
        self._process = context.Process(target=_explore_all, args=(tells, list(wanted)), daemon=True)
        self._process.start()
        tells.close()

    def found(self, wanted: Wanted) -> Found | None:
        """Wait for it.

        Raises:
            EOFError: the process has ended before; why stands on standard error.
        """
        while wanted not in self._found:
            explored, found = self._told.recv()
            self._found[explored] = found
        return self._found[wanted]

    def close(self) -> None:
        self._process.terminate()
        self._process.join()


def _explore_all(tells: Connection, all_wanted: Sequence[Wanted]) -> None:
    be_quick_and_quiet()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder), config={"appendonly": "no"}) as server,
    ):
        for wanted in all_wanted:
            tells.send((wanted, explored(server.url, wanted)))
            gc.collect()


def be_quick_and_quiet() -> None:
    """A writer warns when it claims again, here ten thousand times; and a collector that walks through all states that
    were kept, again and again, takes a third of the time."""
    logging.disable(logging.WARNING)
    gc.disable()
