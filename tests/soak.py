"""Histories without end: ``python -m tests.soak --for 3600`` plays seed after seed until the seconds are over.

The same checker as ``tests/e2e/test_history.py``; people come and go. The first history that breaks a promise ends it,
and a command is printed that plays the same faults again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bridge.journal.embedded import EmbeddedServer
from tests.support.history.checker import check
from tests.support.history.harness import DURABLE, Harness
from tests.support.history.injection import play


async def soak(for_s: float, seed: int, faults: int) -> bool:
    """Play until ``for_s`` seconds are over; at least one history. Returns whether every promise held."""
    ends = time.monotonic() + for_s
    played = mails = 0
    while played == 0 or time.monotonic() < ends:
        with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "valkey", config=DURABLE) as server:
            began = time.monotonic()
            async with Harness(server, seed, people=True) as harness:
                try:
                    await play(harness, faults)
                    await harness.calm()
                    await check(harness)
                except Exception as error:
                    print(f"seed {seed} broke: {type(error).__name__}: {error}")
                    if isinstance(error, ExceptionGroup):
                        traceback.print_exception(error)
                    print("faults:", *harness.done)
                    print(
                        f"replay: BRIDGE_TEST_SEEDS={seed} BRIDGE_TEST_FAULTS={faults} "
                        "python3 -m bridge test tests/e2e/test_history.py"
                    )
                    return False
                mails += len(harness.world.mails)
                print(f"seed {seed}: {len(harness.world.mails)} mails, {time.monotonic() - began:.0f} s", *harness.done)
        played, seed = played + 1, seed + 1
    print(f"{played} histories, {played * faults} times something broke, {mails} mails: every promise held")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--for", dest="for_s", type=float, default=600, metavar="SECONDS", help="default 600")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first one; default: the clock")
    parser.add_argument("--faults", type=int, default=10, help="times that something breaks in a history; default 10")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return 0 if asyncio.run(soak(arguments.for_s, arguments.seed, arguments.faults)) else 1


if __name__ == "__main__":
    sys.exit(main())
