"""``python -m tests.bench.counted FILE <command>``: a program of the bridge that notes how many tasks it has.

FILE has the number of the last look; one is taken every second.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
from pathlib import Path
from typing import Any, Final

_EVERY_S: Final = 1.0


def install(into: Path) -> None:
    """Count the tasks of every loop of this process from now on; a program of ours has one."""
    first = asyncio.events.BaseDefaultEventLoopPolicy.new_event_loop

    def look(loop: asyncio.AbstractEventLoop) -> None:
        into.write_text(f"{len(asyncio.all_tasks(loop))}\n", encoding="ascii")
        loop.call_later(_EVERY_S, look, loop)

    def counting(policy: Any) -> asyncio.AbstractEventLoop:
        loop = first(policy)
        loop.call_soon(look, loop)
        return loop

    asyncio.events.BaseDefaultEventLoopPolicy.new_event_loop = counting  # type: ignore[method-assign]


if __name__ == "__main__":
    from bridge.cli import run_command_line

    install(Path(sys.argv[1]))
    sys.exit(run_command_line(sys.argv[2:]))
