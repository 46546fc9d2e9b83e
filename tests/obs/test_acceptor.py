"""A port: it may be told to stop before it has begun, for Redis may answer an edge while it already ends.

A door may take some of those who come.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from bridge.obs.acceptor import Acceptor, transport_maker
from tests.support.waiting import PATIENCE_S, until


async def test_a_port_that_was_stopped_first_does_not_begin() -> None:
    """It says so, and neither raises nor listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        acceptor = Acceptor(sock, asyncio.Protocol, patience_s=1)
        await acceptor.stop()
        assert acceptor.start() is False
        acceptor.close()


async def test_a_port_that_begins_says_so() -> None:
    """And stops as often as it is told."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        acceptor = Acceptor(sock, asyncio.Protocol, patience_s=1)
        assert acceptor.start() is True
        await acceptor.stop()
        await acceptor.stop()
        acceptor.close()


class Echo(asyncio.Protocol):
    """Says what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Porter:
    """A door that takes who says ``mine`` first, and keeps him."""

    dead_s = 60.0

    def __init__(self) -> None:
        self.kept: list[socket.socket] = []

    def knock(self, sock: socket.socket, peer: Any, acceptor: Acceptor) -> bool | None:
        try:
            data = sock.recv(100, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        if data != b"mine":
            return False
        self.kept.append(sock)
        return True

    async def close(self, within_s: float) -> None:
        for sock in self.kept:
            sock.close()


@asynccontextmanager
async def accepting(door: Porter | None = None, *, patience_s: float = 60) -> AsyncIterator[tuple[Acceptor, str, int]]:
    """An acceptor on a port, with its address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        acceptor = Acceptor(sock, Echo, patience_s=patience_s, door=door)
        acceptor.start()
        try:
            yield acceptor, *sock.getsockname()
        finally:
            await acceptor.stop()
            acceptor.hang_up()
            acceptor.close()


async def say(host: str, port: int, data: bytes) -> bytes:
    """What comes back."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.readexactly(len(data)), PATIENCE_S)
    finally:
        writer.close()


async def test_a_door_has_its_own_and_nobody_else(transport_option: Any) -> None:
    """Whoever it takes is its, before or after he has said something; all others have their bytes untouched."""
    porter = Porter()
    async with accepting(porter) as (_, host, port):
        assert await say(host, port, b"yours") == b"yours"
        _, early = await asyncio.open_connection(host, port)
        _, late = await asyncio.open_connection(host, port)
        early.write(b"mine")
        await until(lambda: len(porter.kept) == 1)
        late.write(b"mine")
        await until(lambda: len(porter.kept) == 2)
        assert all(sock.recv(100) == b"mine" for sock in porter.kept)
        # What every connection has is inherited from the port.
        for sock in porter.kept:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert transport_option(sock) == 60_000
        await porter.close(0)
        early.close()
        late.close()


async def test_a_port_that_stops_while_it_pauses_tries_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is left that looks at a socket which is closed by then."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as used:
        used.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        async with accepting() as (_, host, port):
            client = used.enter_context(socket.socket())
            client.setblocking(False)
            while used.enter_context(socket.socket()).fileno() < 100:
                continue
            resource.setrlimit(resource.RLIMIT_NOFILE, (112, limits[1]))
            await loop.sock_connect(client, (host, port))
            await until(lambda: "too few descriptors, accepting pauses" in caplog.messages)
        done = loop.create_future()
        # Due after any try that was left.
        loop.call_later(1, done.set_result, None)
        await done
    assert not faults


@pytest.fixture
def transport_option() -> Any:
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    return lambda sock: 60_000 if option is None else sock.getsockopt(socket.IPPROTO_TCP, option)


async def test_who_says_nothing_at_a_door_is_sent_away() -> None:
    """In time, and at once when the port is told to hang up."""
    async with accepting(Porter(), patience_s=0.1) as (_, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()
    async with accepting(Porter()) as (acceptor, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        # Accepted after it, and answered.
        assert await say(host, port, b"yours") == b"yours"
        acceptor.hang_up()
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()


def test_another_event_loop_serves_without_the_door() -> None:
    """A loop that has no such transport to give at once: everybody is the protocol's, by asyncio's public way."""

    async def serve() -> None:
        porter = Porter()
        async with accepting(porter) as (_, host, port):
            assert await say(host, port, b"mine") == b"mine"
            assert not porter.kept

    with asyncio.Runner(loop_factory=BaseSelectorEventLoop) as runner:
        assert transport_maker(runner.get_loop()) is None
        runner.run(serve())
