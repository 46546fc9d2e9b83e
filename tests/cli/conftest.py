"""The command line against the simulated provider, inside this process."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridge.cli import run_command_line
from bridge.commands.api import parties, pause
from bridge.simulator import Simulator, World

AMY = "amy@gzdev.com"
FASTER = 10
"""So much shorter than in life is every pause of ``api``."""
Api = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    world = World(7, users=1)
    world.add_user(AMY, name="艾米", slaves=("a1@gzdev.com",))
    async with await Simulator.start(world) as running:
        running.rules.party_delay_s = 0
        yield running


@pytest.fixture
def environ(simulator: Simulator, redis_url: str) -> dict[str, str]:
    return {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PROVIDER_API_URL": simulator.url,
        "BRIDGE_PROVIDER_AUTH_URL": simulator.url,
        "BRIDGE_PROVIDER_CLIENT_ID": simulator.world.client_id,
        "BRIDGE_PROVIDER_CLIENT_SECRET": simulator.world.client_secret,
    }


@pytest.fixture
def api(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Api:
    """Run ``api`` with these words; exit code, standard output, standard error."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    # As in life, but ten times as fast: half a second each made a minute of tests that only wait.
    monkeypatch.setattr(pause, "FIRST_S", pause.FIRST_S / FASTER)
    monkeypatch.setattr(parties, "_BETWEEN_S", parties._BETWEEN_S / FASTER)

    async def run(*words: str, stdin: str | bytes = "") -> tuple[int, str, str]:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8"))
        # The command has an event loop of its own, the provider runs in this one.
        code = await asyncio.to_thread(run_command_line, ["api", *words])
        return code, *capsys.readouterr()

    return run
