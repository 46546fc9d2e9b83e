"""``python -m tests.bench.watched FILE <command>``: a program of the bridge that notes each stand of its event loop.

A line of JSON for each: milliseconds of CPU, of wall time, and what ran. Two looks: every callback is timed, and a
timer of 5 ms notes how much later it came. The timer also sees what callbacks after one another, or threads that do not
let go of the interpreter, keep from everybody. CPU is what to judge by: where others use the machine, wall time is
theirs. With ``--beat`` before the file the timer looks alone: timing callbacks costs some 2 µs each, which counts where
how long a storm lasts is measured too.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import json
import sys
import time
from typing import Any, Final, TextIO

LEAST_MS: Final = 10.0
BEAT_S: Final = 0.005


class Watch:
    """Writes what stood longer than :data:`LEAST_MS`."""

    def __init__(self, into: TextIO) -> None:
        self._into = into

    def note(self, cpu_s: float, wall_s: float, what: str) -> None:
        if cpu_s * 1000 >= LEAST_MS:
            line = {"cpu_ms": round(cpu_s * 1000, 1), "wall_ms": round(wall_s * 1000, 1), "what": what}
            self._into.write(json.dumps(line) + "\n")
            self._into.flush()

    def install(self, *, callbacks: bool) -> None:
        """Watch every loop of this process from now on; ``callbacks``: each of theirs, too."""
        if callbacks:
            self._time_callbacks()
        run_forever = asyncio.base_events.BaseEventLoop.run_forever
        beating: set[int] = set()

        def with_a_beat(loop: asyncio.BaseEventLoop) -> None:
            if id(loop) not in beating:
                beating.add(id(loop))
                self._beat(loop, time.process_time(), loop.time())
            run_forever(loop)

        asyncio.base_events.BaseEventLoop.run_forever = with_a_beat  # type: ignore[method-assign]

    def _time_callbacks(self) -> None:
        run = asyncio.events.Handle._run
        watch = self

        def timed(handle: Any) -> None:
            cpu_s, wall_s = time.thread_time(), time.monotonic()
            callback = handle._callback
            run(handle)
            spent_s = time.thread_time() - cpu_s
            if spent_s * 1000 >= LEAST_MS:
                watch.note(spent_s, time.monotonic() - wall_s, _name(callback))

        asyncio.events.Handle._run = timed  # type: ignore[method-assign]

    def _beat(self, loop: asyncio.AbstractEventLoop, cpu_s: float, due: float) -> None:
        """``cpu_s``: of the process at the last beat; ``due``: when this one was."""
        late_s, now_s = loop.time() - due, time.process_time()
        self.note(min(late_s, now_s - cpu_s), late_s, "the loop")
        next_due = loop.time() + BEAT_S
        loop.call_at(next_due, self._beat, loop, now_s, next_due)


def _name(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task) or type(owner).__name__ == "Task":
        return f"{owner.get_name()}: {getattr(owner.get_coro(), '__qualname__', '')}"
    # Not its repr: that of a method asks its owner, and aiohttp's responses keep what they were asked too early.
    return getattr(callback, "__qualname__", type(callback).__qualname__)


if __name__ == "__main__":
    from bridge.cli import run_command_line

    beat_only = sys.argv[1] == "--beat"
    name, *words = sys.argv[1 + beat_only :]
    with open(name, "a", encoding="utf-8") as file:
        Watch(file).install(callbacks=not beat_only)
        sys.exit(run_command_line(words))
