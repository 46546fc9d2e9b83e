"""``python -m tests.bench.counted FILE <command>``: a program of the bridge that notes how many tasks it has.

FILE has the number of the last look; one is taken every second.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

_EVERY_S: Final = 1.0


def install(into: Path) -> None:
    """Count the tasks of the loop of this process from now on, whatever makes it."""
    run_forever = asyncio.BaseEventLoop.run_forever
    fresh = into.with_name(f"{into.name}.fresh")

    def look(loop: asyncio.AbstractEventLoop) -> None:
        # In one step: whoever reads finds a whole number at any moment.
        fresh.write_text(f"{len(asyncio.all_tasks(loop))}\n", encoding="ascii")
        fresh.replace(into)
        loop.call_later(_EVERY_S, look, loop)

    def counting(loop: asyncio.BaseEventLoop) -> None:
        look(loop)
        run_forever(loop)

    asyncio.BaseEventLoop.run_forever = counting  # type: ignore[method-assign]


if __name__ == "__main__":
    from bridge.cli import run_command_line

    install(Path(sys.argv[1]))
    sys.exit(run_command_line(sys.argv[2:]))
