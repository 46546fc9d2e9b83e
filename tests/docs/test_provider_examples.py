"""``docs/provider.md``: every example runs, against the simulated provider, in the order of the page."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.provider import faults as errors
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.endpoints import ENDPOINTS
from bridge.provider.egress import Egress
from bridge.simulator import Rules, Simulator, World
from tests.docs.pages import ROOT, Page
from tests.support.waiting import PATIENCE_S

PAGE = Page(ROOT / "docs" / "provider.md")
PROGRAM, *EXAMPLES = [block.text for block in PAGE.blocks if block.language == "python"]
BOB = "bob@gzdev.com"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """As ``exmail-bridge simulate`` has it: nothing is there but what is there for everybody."""
    world = World(1)
    async with await Simulator.start(world, rules=Rules(party_delay_s=0)) as running:
        yield running


async def run(example: str, names: dict[str, Any]) -> None:
    """Run a piece of a program, ``await`` at its top allowed."""
    code = compile(example, str(PAGE.path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.iscoroutine(pending := eval(code, names)):
        await pending


async def listen(example: str, names: dict[str, Any], simulator: Simulator) -> None:
    """Run it until it has printed a mail."""
    printed = asyncio.Event()
    listening = asyncio.create_task(run(example, {**names, "print": lambda *_: printed.set()}), name="example")
    await simulator.listeners.wait(timeout_s=PATIENCE_S)
    simulator.world.deliver_mail(BOB)
    await asyncio.wait_for(printed.wait(), PATIENCE_S)
    listening.cancel()
    await asyncio.wait([listening])


async def test_the_program_runs(simulator: Simulator) -> None:
    """Copied into a file, it prints the count; here of the simulator."""
    key = 'client_secret=os.environ["EXMAIL_KEY"]'
    assert key in PROGRAM
    program = PROGRAM.replace(key, f"{key}, api_url={simulator.url!r}, auth_url={simulator.url!r}")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "EXMAIL_ID": simulator.world.client_id,
            "EXMAIL_KEY": simulator.world.client_secret,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert out.decode() == f"{simulator.world.unread[BOB]}\n"


async def test_every_example_runs(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One after the other; the one that listens until a mail was printed."""
    async with Egress().session() as session:
        client = ProviderClient(
            api_url=simulator.url,
            auth_url=simulator.url,
            client_id=simulator.world.client_id,
            client_secret=lambda: simulator.world.client_secret,
            session=session,
        )
        names: dict[str, Any] = {"client": client}
        for example in EXAMPLES:
            if "client.listen" in example:
                await listen(example, names, simulator)
            else:
                await run(example, names)
    told = capsys.readouterr().out
    for said in (
        "新同事 ('广州研发中心/企业邮箱',)",
        f"{BOB} ACCOUNT",
        "Password must have 6 to 32 characters",
        "1301",
    ):
        assert said in told


def test_every_endpoint_has_an_example() -> None:
    """Each method is called on the page."""
    calls = "".join(EXAMPLES)
    assert not [each.method for each in ENDPOINTS if f"client.{each.method}(" not in calls]


def test_every_error_is_explained() -> None:
    """Each error that a call may raise stands in the table; those of listen end a session, as the page says."""
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and not name.startswith(("Listen", "_"))
    }
    assert not [name for name in kinds if f"`{name}`" not in PAGE.text]
