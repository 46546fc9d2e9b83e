"""The history checker: a seeded schedule of faults on the whole bridge, and the promises afterwards."""

from __future__ import annotations

import os

import pytest

from bridge.journal.embedded import EmbeddedServer
from tests.support.history import Theatre

SEEDS = [int(seed) for seed in os.environ.get("BRIDGE_TEST_SEEDS", "1,2,3").split(",")]
FAULTS = int(os.environ.get("BRIDGE_TEST_FAULTS", "6"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_lost_nothing_twice_nothing_silent(own_server: EmbeddedServer, seed: int) -> None:
    """Whatever breaks: committed mails arrive once and in order, all others are announced, counts end up right."""
    async with Theatre(own_server, seed) as theatre:
        try:
            await theatre.play(FAULTS)
            await theatre.calm()
            await theatre.check()
        except BaseException:
            print(
                f"replay: BRIDGE_TEST_SEEDS={seed} BRIDGE_TEST_FAULTS={FAULTS} "
                "python3 -m bridge test tests/e2e/test_history.py"
            )
            print("faults:", *theatre.done)
            raise
