"""A raw client, because the tests of this room are about bytes that no HTTP client shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from bridge.simulator import Dialect, Rules, Simulator, World
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S

NOW_S = 1386593148.546


@dataclass
class Wire:
    """One TCP connection to the simulator."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str

    def ask(self, path: str, body: str = "", *headers: str, method: str = "POST", token: str | None = None) -> None:
        """Send a request, by default with a good Bearer token; ``token`` "" sends none."""
        bearer = self.token if token is None else token
        lines = [f"{method} {path} HTTP/1.1", "Host: simulated", f"Content-Length: {len(body.encode())}", *headers]
        if bearer:
            lines.append(f"Authorization: Bearer {bearer}")
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def expect(self, expected: bytes) -> None:
        """The next bytes are exactly these."""
        async with asyncio.timeout(PATIENCE_S):
            got = await self.reader.readexactly(len(expected))
        assert got == expected

    async def expect_end(self) -> None:
        """The peer ends in order, without another byte."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self.reader.read() == b""

    async def read_to_end(self) -> bytes:
        """Everything up to the orderly end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def answer(self) -> tuple[str, bytes]:
        """The next response with Content-Length: its head and body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            return head, await self.reader.readexactly(int(length.partition(":")[2]))

    async def call(
        self, path: str, body: str = "", *headers: str, method: str = "POST", token: str | None = None
    ) -> Any:
        """Ask, and read the JSON of the answer, whose HTTP status is 200."""
        self.ask(path, body, *headers, method=method, token=token)
        head, answer = await self.answer()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        return orjson.loads(answer)

    async def done(self, path: str, body: str = "", **how: Any) -> None:
        """Ask for a write, which succeeds with an empty body."""
        self.ask(path, body, **how)
        head, answer = await self.answer()
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert answer == b""

    async def ask_listen(self, ver: int) -> None:
        """Send a listen request that asks with this Ver."""
        self.ask("/openapi/listen", f"Ver={ver}")

    def close(self) -> None:
        self.writer.close()


@pytest.fixture
def clock() -> list[float]:
    """The world's clock, epoch seconds; it stands still until a test moves it."""
    return [NOW_S]


@pytest.fixture
def world(clock: list[float]) -> World:
    """A world with that clock."""
    return World(7, users=4, now=lambda: clock[0])


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def simulate(world: World, stack: AsyncExitStack) -> Callable[..., Awaitable[Simulator]]:
    """Start a simulator of the world; settings of dialect and rules by name."""

    async def start(**settings: Any) -> Simulator:
        rules = {name: settings.pop(name) for name in tuple(settings) if name in Rules.__dataclass_fields__}
        return await stack.enter_async_context(
            await Simulator.start(world, port=free_port(), dialect=Dialect(**settings), rules=Rules(**rules))
        )

    return start


@pytest.fixture
def dial(world: World, stack: AsyncExitStack) -> Callable[[Simulator], Awaitable[Wire]]:
    """Open a connection that has a good token."""

    async def connect(simulator: Simulator) -> Wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        stack.callback(writer.close)
        return Wire(reader, writer, world.tokens.good[0] if world.tokens.good else world.tokens.issue())

    return connect


@pytest.fixture
def http() -> Callable[..., bytes]:
    """The bytes of a response as the simulator has to write it."""

    def respond(body: bytes, *, content_type: bytes = b"Content-Type: application/json; charset=UTF-8\r\n") -> bytes:
        return b"HTTP/1.1 200 OK\r\n%bConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%b" % (
            content_type,
            len(body),
            body,
        )

    return respond
