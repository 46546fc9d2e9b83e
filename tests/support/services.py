"""What ``systemctl`` asks on a machine of the tests: units are programs, started and stopped as the unit's file says.

They get the environment that their unit gives them, drop-ins included, and of secrets the files that are copied.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import redis as redis_sync
from redis.backoff import NoBackoff
from redis.retry import Retry

from bridge.commands.as_unit import variables_of
from tests.support.processes import Program
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.support.operated import Machine

OURS: Final = "exmail-bridge-"
FOREIGN: Final = {
    "redis-server": ("redis-server", "/etc/redis/redis.conf"),
    "redis-sentinel": ("redis-server", "/etc/redis/sentinel.conf", "--sentinel"),
}


class Services:
    """The units of one machine: what runs, by the unit's name, and what is enabled."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.running: dict[str, Program] = {}
        self.enabled: set[str] = set()

    @asynccontextmanager
    async def answering(self, path: Path) -> AsyncIterator[None]:
        """Answer ``systemctl`` on this socket; at the end everything is killed that still runs."""
        server = await asyncio.start_unix_server(self._answer, path)
        try:
            yield
        finally:
            server.close()
            await self.lose_power()

    async def lose_power(self) -> None:
        """Nothing is stopped in order."""
        programs = [self.running.pop(unit) for unit in list(self.running)]
        await asyncio.gather(*(program.kill() for program in programs))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = (await reader.read()).decode().split("\0")
        try:
            code, said = 0, await self.do(*words)
        except (AssertionError, TimeoutError, OSError, KeyError) as error:
            code, said = 1, f"{words}: {error!r}\n"
        writer.write(f"{code}\n{said}".encode())
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def do(self, verb: str, *words: str) -> str:
        """One call of ``systemctl``."""
        now = "--now" in words
        for unit in self._named([word.removesuffix(".service") for word in words if not word.startswith("-")]):
            if verb in ("enable", "disable"):
                (self.enabled.add if verb == "enable" else self.enabled.discard)(unit)
            if verb in ("stop", "restart") or (verb == "disable" and now):
                await self._stop(unit)
            if verb in ("start", "restart") or (verb == "enable" and now):
                await self._start(unit)
            if verb == "reload":
                self.running[unit].signal(signal.SIGHUP)
        assert verb in ("daemon-reload", "enable", "disable", "start", "stop", "restart", "reload"), verb
        return ""

    def _named(self, words: list[str]) -> list[str]:
        """A pattern means the units that run."""
        found = [unit for word in words for unit in (fnmatch.filter(self.running, word) if "*" in word else [word])]
        return list(dict.fromkeys(found))

    async def _stop(self, unit: str) -> None:
        if unit in self.running:
            assert await self.running.pop(unit).stop() == 0, unit

    async def _start(self, unit: str) -> None:
        if unit in self.running:
            return
        if unit.startswith(OURS):
            program = self.running[unit] = await self._started(*self._words(unit), **self._variables(unit))
            await until(lambda: bool(program.said("admin port open")) or self._over(program))
            return
        program = self.running[unit] = await self._started(*FOREIGN[unit])
        port = 26379 if unit == "redis-sentinel" else 6379
        await until(lambda: self._answers(port) or self._over(program))

    async def _started(self, *words: str, **environ: str) -> Program:
        kept = {name: value for name, value in self._machine.environ.items() if name != "REDISCLI_AUTH"}
        process = await asyncio.create_subprocess_exec(
            *self._machine.inside(*words),
            env=kept | environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return Program(process)

    def _over(self, program: Program) -> bool:
        assert program.process.returncode is None, program.lines
        return False

    def _answers(self, port: int) -> bool:
        client = redis_sync.Redis(host=self._machine.address, port=port, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        with client, suppress(redis_sync.ConnectionError, redis_sync.TimeoutError):
            try:
                return bool(client.ping())
            except redis_sync.AuthenticationError:
                # It knows its users, has read its data, and this is a stranger.
                return True
        return False

    def _file(self, unit: str) -> Path:
        folder = self._machine.path("etc/systemd/system")
        return folder / f"{re.sub('@.*', '@', unit)}.service"

    def _words(self, unit: str) -> list[str]:
        [words] = re.findall(r"^ExecStart=(.*)$", self._file(unit).read_text(), re.MULTILINE)
        return words.split()

    def _variables(self, unit: str) -> dict[str, str]:
        found = variables_of(unit.removeprefix(OURS), self._machine.root)
        assert found is not None, unit
        return {**found, "BRIDGE_LOG_FORMAT": "json"}
