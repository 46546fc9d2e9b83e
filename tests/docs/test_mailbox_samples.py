"""``docs/samples/mailbox``: who follows a mailbox from Python or Node misses nothing and gets nothing twice.

The very files run as programs, against a real edge and a way to it that can be cut.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.docs.pages import ROOT
from tests.support.processes import free_port
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until

SAMPLES = ROOT / "docs" / "samples"


class Told:
    """What the program writes, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.errors: list[str] = []

    async def read(self, stream: asyncio.StreamReader | None, into: list[str]) -> None:
        assert stream is not None
        async for line in stream:
            into.append(line.decode().strip())

    def mails(self) -> list[str]:
        """Ids of the mails that were worked on, in order."""
        return [line.split()[2] for line in self.lines if " exmail.mail.new " in line]


@pytest.fixture(params=["py websocket", "py events", "mjs websocket", "mjs events"])
def words(request: pytest.FixtureRequest, require_binary: Callable[[str], str]) -> list[str]:
    """What runs the sample."""
    language, transport = request.param.split()
    if language == "py":
        return [sys.executable, str(SAMPLES / "mailbox.py"), transport]
    flags = ["--experimental-websocket", "--no-warnings"] if transport == "websocket" else []
    return [require_binary("node"), *flags, str(SAMPLES / "mailbox.mjs"), transport]


@asynccontextmanager
async def follows(words: list[str], url: str, folder: Path) -> AsyncIterator[Told]:
    """Run it to the end of the block; ``url`` is where it finds the edge."""
    environ = {"EDGE": url, "TOKEN": token(sid="s"), "POSITION": str(folder / "position.txt")}
    process = await asyncio.create_subprocess_exec(
        *words, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told = Told(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(told.read(process.stdout, told.lines), name="lines")
        tasks.create_task(told.read(process.stderr, told.errors), name="errors")
        try:
            yield told
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def test_it_goes_on_where_it_was(words: list[str], redis_url: str, tmp_path: Path) -> None:
    """Over connections that were cut, and from one run to the next."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url) as (edge, _),
        redis_proxy(edge) as way,
    ):
        await writer.commit([mail("A0")])
        url = way.url.replace("redis://", "http://").removesuffix("/0")
        async with follows(words, url, tmp_path) as told:
            await until(lambda: told.lines == ["anew: first 1"])
            await writer.commit([mail("A1"), mail("A2")])
            await until(lambda: told.mails() == ["A1", "A2"])
            way.closed = True
            way.cut()
            await writer.commit([mail("A3")])
            await until(lambda: way.turned_away > 0)
            way.closed = False
            await until(lambda: told.mails() == ["A1", "A2", "A3"])
            await writer.commit([mail("A4")])
            await until(lambda: told.mails() == ["A1", "A2", "A3", "A4"])
            assert [line for line in told.lines if line.startswith("anew")] == ["anew: first 1"]
        await writer.commit([mail("A5")])
        async with follows(words, url, tmp_path) as told:
            await until(lambda: told.mails() == ["A5"])
            assert len(told.lines) == 1


async def test_an_edge_that_is_away_for_a_day_ends_nobody(tmp_path: Path) -> None:
    """However often it was tried: the wait has grown to its limit by then, and stays there."""
    # No waits here, or 1,100 tries would take four hours.
    (tmp_path / "sitecustomize.py").write_text("import random\n\nrandom.random = lambda: 0.0\n")
    words = ["env", f"PYTHONPATH={tmp_path}", sys.executable, str(SAMPLES / "mailbox.py"), "events"]
    async with follows(words, f"http://127.0.0.1:{free_port()}", tmp_path) as told:
        await until(lambda: len(told.errors) > 1100 or told.process.returncode is not None)
        assert told.process.returncode is None, told.errors[-1]


async def test_it_stays_away_when_it_is_told_to(words: list[str], redis_url: str, tmp_path: Path) -> None:
    """A session that was ended: the program ends, and says why."""
    async with leading_writer(redis_url), running_edge(redis_url) as (edge, _):
        async with follows(words, edge, tmp_path) as told:
            await until(lambda: told.lines == ["anew: first 0"])
            async with aiohttp.ClientSession(headers=bearer(sid="s")) as http, http.post(f"{edge}/logout") as answer:
                assert answer.status == 204
            assert await asyncio.wait_for(told.process.wait(), PATIENCE_S) == 1
        assert told.errors[-1].startswith("sent away: 3503")
