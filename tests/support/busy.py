"""How much a task does before it lets others have the event loop: counted, not timed."""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Busy:
    """``most``: the greatest number of functions that one step of a watched task called, Python's and C's."""

    def __init__(self) -> None:
        self.most = 0
        self._calls = 0

    def count(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self._calls += 1

    def step_ended(self) -> None:
        self.most = max(self.most, self._calls)
        self._calls = 0


@contextmanager
def watched(*names: str) -> Iterator[Busy]:
    """Watch the tasks of these names while the block runs."""
    busy, run = Busy(), asyncio.events.Handle._run

    def counted(handle: Any) -> None:
        task = getattr(handle._callback, "__self__", None)
        if not isinstance(task, asyncio.Task) or task.get_name() not in names:
            run(handle)
            return
        sys.setprofile(busy.count)
        try:
            run(handle)
        finally:
            sys.setprofile(None)
            busy.step_ended()

    asyncio.events.Handle._run = counted  # type: ignore[method-assign]
    try:
        yield busy
    finally:
        asyncio.events.Handle._run = run  # type: ignore[method-assign]
