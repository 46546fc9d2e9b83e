"""The samples of ``docs/samples``, run as programs: the very files, Node's with the published ``ioredis``."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.support.processes import ROOT
from tests.support.stage import KEYS
from tests.support.waiting import PATIENCE_S, until

SAMPLES = ROOT / "docs" / "samples"
IOREDIS = ROOT / "tests" / "samples" / "libraries" / "ioredis-5.11.1.min.js"
SPOKEN = ("py", "mjs")
GROUP = "workflow"


@dataclass
class Sample:
    """A running sample. ``done``: the ids of the events that it worked on; ``said``: what it said beside them."""

    process: asyncio.subprocess.Process
    done: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def read(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(self.process.stdout, lambda line: self.done.append(line.split()[0])))
            tasks.create_task(self._read(self.process.stderr, self.said.append))

    async def _read(self, stream: asyncio.StreamReader | None, take: Callable[[str], None]) -> None:
        assert stream is not None
        async for line in stream:
            take(line.decode().rstrip("\n"))

    async def until_said(self, text: str) -> None:
        await until(lambda: any(re.search(text, line) for line in self.said))

    async def until_done(self, n: int) -> None:
        await until(lambda: len(self.done) >= n)


@dataclass(frozen=True)
class Samples:
    """Runs the samples of one language, as the user ``reader``, in a folder in which they find their library."""

    language: str
    folder: Path
    program: str

    @asynccontextmanager
    async def running(self, url: str, name: str, *words: str, **environ: str) -> AsyncIterator[Sample]:
        process = await asyncio.create_subprocess_exec(
            *(self.program, str(self.folder / f"{name}.{self.language}"), *words),
            env={"REDIS_URL": url if "@" in url else as_user(url, "reader"), **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        sample = Sample(process)
        reading = asyncio.create_task(sample.read(), name=f"read {name}.{self.language}")
        try:
            yield sample
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading

    async def create(self, url: str) -> None:
        async with self.running(url, "group", "create") as sample:
            assert await asyncio.wait_for(sample.process.wait(), PATIENCE_S) == 0
        assert sample.said == []

    def work(self, url: str, name: str = "one", **environ: str) -> Any:
        return self.running(url, "group", "work", name, **environ)


def samples_in(language: str, folder: Path, require_binary: Callable[[str], str]) -> Samples:
    """Those of one language; Node's are copied into ``folder``, beside their library."""
    if language == "py":
        return Samples("py", SAMPLES, sys.executable)
    library = folder / "node_modules" / "ioredis"
    library.mkdir(parents=True)
    shutil.copy(IOREDIS, library / "index.js")
    for sample in SAMPLES.glob("*.mjs"):
        shutil.copy(sample, folder)
    return Samples("mjs", folder, require_binary("node"))


async def waits(redis: Redis, n: int = 1) -> None:
    """Until so many samples have read all and wait for more."""

    async def all_wait() -> bool:
        return sum(client["cmd"] == "xread" for client in await redis.client_list()) >= n

    await until(all_wait)


async def pending(redis: Redis) -> int:
    found = await redis.xpending(KEYS.events, GROUP)
    return int(found["pending"])


async def ids(redis: Redis) -> list[str]:
    """The ids of all events in the stream, oldest first."""
    return [re.findall(rb'"id":"([^"]+)"', entry[b"event"])[0].decode() for _, entry in await redis.xrange(KEYS.events)]


def as_user(url: str, user: str) -> str:
    """The URL for a user of ``deploy/redis/users.acl``, with the password that the tests give him."""
    return url.replace("://", f"://{user}:password%20of%20{user}@")
