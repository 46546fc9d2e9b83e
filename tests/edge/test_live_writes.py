"""What is written live goes straight to the descriptor; nothing is overtaken, cut short or given to somebody else."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import pytest

from bridge.access.access import Identity
from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.frames import Entry
from bridge.edge.hub import Hub
from bridge.edge.kernel import descriptor_of
from bridge.edge.lean import LeanTransport
from bridge.edge.tail import Tail
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.events import Position
from bridge.journal.reader import Opened, UpstreamStatus
from bridge.obs.metrics import Metrics
from tests.support.waiting import PATIENCE_S, until

KINDS: list[type[Connection]] = [WebSocketConnection, SseConnection]
EPOCH = b"abcdefgh"
OPENED = Opened("bob@gzdev.com", Position("abcdefgh", 0), None, None, "first", [], False, UpstreamStatus("", 0, ""))


class NoLoader:
    """The ring of a test is long enough."""

    def read_cold(self, cursor: Cursor) -> None:
        raise AssertionError(cursor.position)

    def deserted(self, tail: Tail) -> None:
        """It is the test's."""


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """What is open stays; nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Line:
    """A connection that has joined a mailbox, and what came at its other end. With ``lean`` on a transport of ours,
    otherwise on asyncio's, which stays where no descriptor is left for another. ``others``: kinds of connections that
    have joined before it; nobody reads what they are sent."""

    def __init__(self, kind: type[Connection], *, lean: bool, others: Sequence[type[Connection]]) -> None:
        self._lean = lean
        self._others = others
        self._ends = ExitStack()
        self.connection = kind(Hub(Metrics()), Identity(("bob@gzdev.com",), None, frozenset(), 1e12))
        self.tail = Tail("bob@gzdev.com", NoLoader())
        self.tail.adopt(OPENED)
        ours, self.peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.peer.setblocking(False)
        # The same socket by a number of the test's own: the connection leaves the one that it is given.
        self.ours = ours.dup()
        self._given = ours
        self._seq = 0

    async def join(self) -> None:
        for kind in self._others:
            ours, theirs = socket.socketpair()
            self._ends.enter_context(theirs)
            other = kind(self.connection.hub, self.connection.identity)
            transport, _ = await asyncio.get_running_loop().create_connection(lambda other=other: other, sock=ours)
            other.begin(transport)
            other.follow(self.tail).begin(OPENED, None)
            self._ends.callback(other.cut)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self.connection, sock=self._given)
        with nullcontext() if self._lean else no_descriptor_left():
            self.connection.begin(transport)
        assert isinstance(self.connection.transport, LeanTransport) == self._lean
        self.connection.follow(self.tail).begin(OPENED, None)
        await self.heard()

    def close(self) -> None:
        self.connection.end(3001)
        self._ends.close()
        self.peer.close()
        self.ours.close()

    def deliver(self, size: int) -> bytes:
        """Append one event; return the frame that a browser must get."""
        self._seq += 1
        event = b'{"specversion":"1.0","id":"abcdefgh-%d","x":"%b"}' % (self._seq, b"x" * size)
        self.tail.append(EPOCH, self._seq, event)
        self.tail.flush()
        return self.connection.render(Entry(EPOCH, self._seq, self._seq, event))

    async def heard(self, size: int = 1) -> bytes:
        found = b""
        while len(found) < size:
            some = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.peer, 1 << 20), PATIENCE_S)
            assert some
            found += some
        return found


@pytest.fixture(params=[True, False], ids=["lean", "asyncio"])
def lean(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[(), (SseConnection, WebSocketConnection)], ids=["alone", "of several"])
def others(request: pytest.FixtureRequest) -> tuple[type[Connection], ...]:
    """Who has the same mailbox open; several are written to in another way than one."""
    found: tuple[type[Connection], ...] = request.param
    return found


@pytest.fixture(params=KINDS)
async def line(request: pytest.FixtureRequest, lean: bool, others: tuple[type[Connection], ...]) -> AsyncIterator[Line]:
    line = Line(request.param, lean=lean, others=others)
    await line.join()
    yield line
    line.close()


async def test_a_frame_that_the_kernel_takes_in_part_comes_whole_and_before_the_next(line: Line) -> None:
    """What is left over waits in the transport, and everything later waits behind it."""
    frames = [line.deliver(size) for size in (10, 300_000, 20, 30_000, 1)]
    assert line.connection.behind_since
    expected = b"".join(frames)
    assert await line.heard(len(expected)) == expected
    await until(lambda: not line.connection.behind_since)
    again = line.deliver(5)
    assert await line.heard(len(again)) == again


async def test_a_kernel_that_takes_nothing_loses_nothing(line: Line) -> None:
    """The socket is full before the frame, though the transport has nothing to write: others write to it, too."""
    filled = 0
    try:
        while True:
            filled += line.ours.send(b"\0" * 4096)
    except BlockingIOError:
        pass
    frame = line.deliver(100)
    assert line.connection.behind_since
    assert await line.heard(filled + len(frame)) == b"\0" * filled + frame


async def test_whoever_is_gone_is_written_to_no_more(line: Line) -> None:
    """Its number belongs to somebody else at once: what a connection has of it is forgotten before that."""
    number = line.connection.descriptor
    assert os.fstat(number).st_ino == os.fstat(line.ours.fileno()).st_ino
    line.peer.close()
    await until(lambda: line.connection.transport is None)
    assert line.connection.descriptor == -1
    with ExitStack() as others:
        new: list[socket.socket] = []
        while not any(each.fileno() == number for each in new):
            new += [others.enter_context(each) for each in socket.socketpair()]
        for size in (1, 10):
            line.deliver(size)
        line.connection.write_live(b"late")
        for each in new:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)


async def test_a_peer_that_has_just_gone_ends_the_connection_as_ever(line: Line) -> None:
    """The loop has not noticed yet; a write finds out, and nothing is raised."""
    line.peer.close()
    line.deliver(100)
    line.deliver(100)
    await until(lambda: line.connection.transport is None)


async def test_a_transport_that_is_not_asyncios_own_writes_itself(line: Line) -> None:
    """uvloop keeps what it is given for a moment, TLS changes it: past those nothing may be written."""

    class Another(asyncio.Transport):
        """Not from asyncio.selector_events."""

    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    assert descriptor_of(transport) == ours.fileno()
    assert descriptor_of(Another({"socket": transport.get_extra_info("socket")})) == -1
    transport.abort()
    theirs.close()
    line.connection.descriptor = -1
    frame = line.deliver(100)
    assert await line.heard(len(frame)) == frame
