"""The simulator as a program: what it prints works."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.simulator import PlanError, Simulator, serve
from bridge.simulator.serve import greet
from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The program, once it has greeted."""
    started = asyncio.Event()

    def ready(simulator: Simulator) -> None:
        greet(simulator)
        started.set()

    program = asyncio.create_task(serve(rate=0, ready=ready, **settings))
    async with asyncio.timeout(PATIENCE_S):
        await started.wait()
    yield program
    program.cancel()
    with pytest.raises(asyncio.CancelledError):
        await program


async def ask(url: str, request: str) -> str:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {request} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(PATIENCE_S):
        text = (await reader.read()).decode()
    writer.close()
    return text


async def test_the_printed_credentials_work(capsys):
    """URL, client id and secret are printed, get a token, and cancelling ends it."""
    async with serving(seed=3, users=5, client_id="corp", framing="long-poll"):
        text = capsys.readouterr().out
        settings = dict(re.findall(r"BRIDGE_PROVIDER_(\w+)=(\S+)", text))
        assert "(long-poll, 5 accounts)" in text
        assert settings["API_URL"] == settings["AUTH_URL"]
        assert settings["CLIENT_ID"] == "corp"
        query = f"client_id=corp&client_secret={settings['CLIENT_SECRET']}"
        assert '"access_token"' in await ask(settings["API_URL"], f"/cgi-bin/token?{query}")
    with pytest.raises(ConnectionRefusedError):
        await ask(settings["API_URL"], "/")


async def test_a_given_secret_is_used(capsys):
    """Who brings credentials gets a simulator that wants them."""
    async with serving(client_id="a", client_secret="b"):
        assert "BRIDGE_PROVIDER_CLIENT_SECRET=b\n" in capsys.readouterr().out


async def test_bad_plan_and_bad_framing_end_it(tmp_path):
    """What is wrong is said at once."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[[[")
    with pytest.raises(PlanError, match=r"plan\.toml"):
        await serve(faults_file=plan, rate=0)
    with pytest.raises(ValueError, match="morse"):
        await serve(framing="morse")


async def test_taken_port_is_refused(simulate):
    """A second program on the same port does not share it silently."""
    simulator = await simulate()
    with pytest.raises(OSError, match="in use"):
        await serve(port=simulator.port)
