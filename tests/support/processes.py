"""The product as processes, as an operator runs it: started, looked at through its admin port, killed."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from tests.support.stage import SECRET
from tests.support.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
_LONGEST_LINE = 2**22
_LAST_LINES, _LAST_LINE = 60, 400
_LAST_WORDS_S = 10.0

STARTED: list[Program] = []
"""The programs of the test that runs, in the order in which they were started."""


class Program:
    """One ``python -m bridge …``. Its log is JSON lines; the port it serves stands there.

    ``name``: for whoever reads why a test failed.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str = "a program") -> None:
        self.process = process
        self.name = name
        STARTED.append(self)
        self.lines: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read(), name="log of a program")

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            try:
                self.lines.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                self.lines.append({"message": line.decode().strip()})

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def told(self) -> str:
        """Its last log lines, for whoever reads why a test failed."""
        return "\n".join(orjson.dumps(line).decode()[:_LAST_LINE] for line in self.lines[-_LAST_LINES:])

    @property
    def last_words(self) -> str:
        """Why it ended: of a program that logs, a field of its last line; of a command, a line after its name."""
        last = self.lines[-1]
        return str(last["why"] if last["message"] == "the program ends" else last["message"])

    def said(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this sentence."""
        return [line for line in self.lines if line["message"] == message]

    async def heard(self, message: str) -> list[dict[str, Any]]:
        """The log lines with this sentence, as soon as there is one: a line is written a moment after what it tells."""
        await until(lambda: bool(self.said(message)))
        return self.said(message)

    async def admin(self, path: str) -> tuple[int, str]:
        """Ask the admin port."""

        def opened() -> bool:
            assert self.process.returncode is None, self.lines
            return bool(self.said("admin port open"))

        await until(opened)
        # The first line is this process's own; the children of --workers write to the same log.
        where = self.said("admin port open")[0]
        return await http_get(where["host"], where["port"], path)

    async def ready(self) -> None:
        """Return when ``/readyz`` says so."""

        async def answered() -> bool:
            assert self.process.returncode is None, self.lines
            with suppress(OSError):
                return (await self.admin("/readyz"))[0] == 200
            return False

        await until(answered)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """kill -9."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; return the exit code."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        """Its exit code, when it has ended and its log is read.

        Raises:
            TimeoutError: it does not end. What it was doing stands in its log then; or somebody else has its log open.
        """
        try:
            code = await asyncio.wait_for(self.process.wait(), PATIENCE_S)
        except TimeoutError:
            await self._tell_where_it_is()
            raise
        try:
            # Children of its own may still have the other end.
            await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE_S)
        except TimeoutError:
            self.lines.append({"message": f"it has ended with {code}, but its log is still open"})
            raise
        return code

    def _state(self) -> str:
        """A letter, as ``ps`` has it: T is stopped."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        except OSError:
            return "gone"

    async def _tell_where_it_is(self) -> None:
        """End it so that its threads' stacks are written to its log (see warm_start)."""
        self.lines.append({"message": f"it does not end, state {self._state()}"})
        with suppress(ProcessLookupError, TimeoutError):
            self.process.send_signal(signal.SIGABRT)
            self.process.send_signal(signal.SIGCONT)
            await asyncio.wait_for(self.process.wait(), _LAST_WORDS_S)
            await asyncio.wait_for(asyncio.shield(self._reading), _LAST_WORDS_S)


@asynccontextmanager
async def program(
    *words: str, environ: Mapping[str, str], module: str = "bridge", stdin: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[Program]:
    """Run a command until the block ends; as a service has it, nobody is at its standard input."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        env=base | {"PYTHONPATH": str(ROOT), "BRIDGE_LOG_FORMAT": "json"} | dict(environ),
        stdin=stdin,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_LINE,
    )
    running = Program(process, words[0])
    try:
        yield running
    finally:
        if process.returncode is None:
            await running.kill()


def worker_environ(redis_url: str, provider: Any, **more: str) -> dict[str, str]:
    """What a worker needs; ``provider`` is a simulator."""
    return {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PROVIDER_API_URL": provider.url,
        "BRIDGE_PROVIDER_AUTH_URL": provider.url,
        "BRIDGE_PROVIDER_CLIENT_ID": provider.world.client_id,
        "BRIDGE_PROVIDER_CLIENT_SECRET": provider.world.client_secret,
        # Longer than a leader of a test may stand still; its end is noticed at once.
        "BRIDGE_WORKER_LEASE": "15",
        "BRIDGE_WORKER_NEWCOUNT_RATE": "200",
        "BRIDGE_WORKER_ADMIN_LISTEN": "127.0.0.1:0",
        **more,
    }


def edge_environ(redis_url: str, port: int, **more: str) -> dict[str, str]:
    """What an edge needs, on a port that stays the same over restarts."""
    return {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_EDGE_JWT_SECRET": SECRET,
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{port}",
        "BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:0",
        "BRIDGE_EDGE_DRAIN": "0",
        **more,
    }


async def http_get(host: str, port: int, path: str) -> tuple[int, str]:
    """A plain GET; status and body."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()
    if not answer:
        raise ConnectionAbortedError("closed before it answered")
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


_FIRST_PORT, _MANY_PORTS = 20_000, 12_000


def _ports() -> Iterator[int]:
    """Ports below the ephemeral ones, each again only after all others; each process of a run has its own."""
    count = max(8, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    process, stretch = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % count, _MANY_PORTS // count
    first = random.randrange(stretch)
    for number in itertools.count(first):
        yield _FIRST_PORT + process * stretch + number % stretch


_PORTS = _ports()


def free_port() -> int:
    """A port below the ephemeral ones: a client that retries it cannot connect to itself. Nobody else is given it."""
    for port in _PORTS:
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("ports never end")


def has_ipv6() -> bool:
    """Whether this machine has a loopback address of IPv6."""
    with suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False
