"""Programs of ours and of others as real processes, on ports that nothing else is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOP_S = 20


@asynccontextmanager
async def running(
    *words: str, log: Path, cwd: Path = ROOT, **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program from here to the end of the block; what it says goes to ``log``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(*words, cwd=cwd, env=kept | environ, stdout=said, stderr=said)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def bridge(*words: str) -> tuple[str, ...]:
    """The words that run one of our commands."""
    return (sys.executable, "-m", "bridge", *words)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether something listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
