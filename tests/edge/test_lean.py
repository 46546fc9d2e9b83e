"""The transport of an open connection does what asyncio's does: order, half a close, resets, and whom it tells when."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge.edge.lean import LeanTransport, lean_transport
from bridge.edge.watch import IS_POSSIBLE, Watch
from tests.support.waiting import PATIENCE_S, until

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="elsewhere the event loop watches each socket")

LARGE = bytes(range(256)) * 4000
"""More than the sockets here take at once."""


class Recorder(asyncio.Protocol):
    """Writes down what it is told; ``heard`` does something with what is read."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.heard: Callable[[bytes], None] = lambda data: None

    def data_received(self, data: bytes) -> None:
        self.told.append(data)
        self.heard(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return False

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", type(exc)))


class Ends:
    """Both ends of TCP connections; ours are lean, over one watch."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.peers: list[socket.socket] = []
        self.transports: list[LeanTransport] = []

    async def pair(self) -> tuple[LeanTransport, Recorder, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(listening.getsockname())
            peer.setblocking(False)
            self.peers.append(peer)
            ours, _ = listening.accept()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        recorder = Recorder()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        lean = lean_transport(transport, recorder, self.watch)
        assert lean is not None
        self.transports.append(lean)
        return lean, recorder, peer


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ends = Ends()
    yield ends
    for transport in ends.transports:
        transport.abort()
    for peer in ends.peers:
        peer.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def read_all(peer: socket.socket) -> bytes:
    """Up to the end."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while some := await asyncio.get_running_loop().sock_recv(peer, 1 << 20):
            found += some
    return found


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def is_lost(recorder: Recorder) -> Callable[[], bool]:
    return lambda: any(isinstance(each, tuple) for each in recorder.told)


async def test_what_is_sent_is_read(ends: Ends) -> None:
    """In order, with whatever came before the socket was taken over."""
    _, recorder, peer = await ends.pair()
    peer.sendall(b"one")
    await until(lambda: recorder.told == [b"one"])
    peer.sendall(b"two")
    await until(lambda: recorder.told == [b"one", b"two"])


async def test_a_close_comes_behind_what_is_unsent(ends: Ends) -> None:
    """Everything arrives in order, then the end; the owner is told once."""
    transport, recorder, peer = await ends.pair()
    transport.write(LARGE)
    transport.write(b"last")
    assert transport.get_write_buffer_size() > 0
    transport.close()
    transport.close()
    assert transport.is_closing()
    assert await read_all(peer) == LARGE + b"last"
    await until(is_lost(recorder))
    assert recorder.told == ["pause", ("lost", type(None))]


async def test_half_a_close_comes_behind_what_is_unsent(ends: Ends) -> None:
    """The peer reads all and then the end, and is still heard until it closes, too."""
    transport, recorder, peer = await ends.pair()
    transport.write(LARGE)
    transport.write_eof()
    assert await read_all(peer) == LARGE
    peer.sendall(b"heard")
    await until(lambda: b"heard" in recorder.told)
    peer.close()
    await until(is_lost(recorder))
    assert recorder.told == ["pause", "resume", b"heard", "eof", ("lost", type(None))]


async def test_nothing_is_written_behind_half_a_close(ends: Ends) -> None:
    """It would be lost without a word."""
    transport, _, _ = await ends.pair()
    transport.write_eof()
    with pytest.raises(RuntimeError):
        transport.write(b"late")


async def test_the_owner_is_told_by_the_loop_and_once(ends: Ends) -> None:
    """Not from within its own call; and whatever it calls afterwards does nothing."""
    transport, recorder, _ = await ends.pair()
    transport.abort()
    assert recorder.told == []
    transport.abort()
    transport.close()
    transport.write(b"late")
    transport.write_eof()
    await until(is_lost(recorder))
    transport.abort()
    await asyncio.sleep(0)
    assert recorder.told == [("lost", type(None))]
    assert transport.descriptor == -1


async def test_an_abort_throws_away_what_is_unsent(ends: Ends) -> None:
    """Who is cut off because he takes nothing must not keep it."""
    transport, recorder, _ = await ends.pair()
    transport.write(LARGE)
    transport.close()
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    await until(is_lost(recorder))


@pytest.mark.parametrize("reading", [True, False])
async def test_a_reset_while_bytes_are_unsent_is_an_end(ends: Ends, reading: bool) -> None:
    """Found by reading, or by the next write where nothing is read; nothing is raised."""
    transport, recorder, peer = await ends.pair()
    transport.write(LARGE)
    if not reading:
        transport.pause_reading()
    reset(peer)
    await until(is_lost(recorder))
    assert recorder.told == ["pause", ("lost", recorder.told[-1][1])]
    assert issubclass(recorder.told[-1][1], OSError)


async def test_a_write_to_a_peer_that_is_gone_is_an_end(ends: Ends) -> None:
    """The loop has not noticed yet."""
    transport, recorder, peer = await ends.pair()
    reset(peer)
    for _ in range(3):
        transport.write(b"x")
    await until(is_lost(recorder))
    assert len(recorder.told) == 1


async def test_who_reads_no_more_hears_nothing(ends: Ends) -> None:
    """What a flood sends stays in the kernel."""
    transport, recorder, peer = await ends.pair()
    other, other_recorder, other_peer = await ends.pair()
    transport.pause_reading()
    assert not transport.is_reading()
    peer.sendall(b"flood")
    other_peer.sendall(b"heard")
    await until(lambda: other_recorder.told == [b"heard"])
    assert recorder.told == []
    assert other.is_reading()


async def test_a_fault_ends_one_connection(ends: Ends) -> None:
    """The others are served, also those whose bytes came with the same look."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    pairs = [await ends.pair() for _ in range(3)]

    def fail(data: bytes) -> None:
        raise ZeroDivisionError(data)

    pairs[0][1].heard = fail
    for _, _, peer in pairs:
        peer.sendall(b"x")
    await until(lambda: all(recorder.told for _, recorder, _ in pairs))
    await until(is_lost(pairs[0][1]))
    assert [recorder.told for _, recorder, _ in pairs[1:]] == [[b"x"], [b"x"]]
    assert [type(fault["exception"]) for fault in faults] == [ZeroDivisionError]


async def test_who_was_ended_a_moment_ago_hears_nothing(ends: Ends) -> None:
    """Of two that sent at once the first to be served ends the other."""
    one, other = await ends.pair(), await ends.pair()
    one[1].heard = lambda data: other[0].abort()
    other[1].heard = lambda data: one[0].abort()
    for _, _, peer in (one, other):
        peer.sendall(b"x")
    await until(lambda: bool(one[1].told and other[1].told))
    assert sorted(map(str, [*one[1].told, *other[1].told])) == sorted(map(str, [b"x", ("lost", type(None))]))


async def test_what_waits_in_asyncios_transport_keeps_it(ends: Ends) -> None:
    """Nothing may overtake it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    transport.write(LARGE)
    assert lean_transport(transport, Recorder(), ends.watch) is None
    transport.close()
    assert lean_transport(transport, Recorder(), ends.watch) is None
    assert await read_all(theirs) == LARGE
    theirs.close()


async def test_nothing_stays_open(ends: Ends) -> None:
    """Neither the sockets nor what watched them, whoever closed."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        triples = [await ends.pair() for _ in range(4)]
        triples[0][0].close()
        triples[1][0].abort()
        triples[2][2].close()
        reset(triples[3][2])
        for _, recorder, _ in triples:
            await until(is_lost(recorder))
        for _, _, peer in triples:
            peer.close()
        await until(lambda: len(os.listdir("/proc/self/fd")) == before)


def test_a_loop_that_ends_first_leaves_no_socket_open() -> None:
    """The peer sees an end, though nobody could be told."""
    left: list[socket.socket] = []

    async def begin() -> None:
        ours, theirs = socket.socketpair()
        left.append(theirs)
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        assert lean_transport(transport, Recorder(), Watch()) is not None

    asyncio.run(begin())
    gc.collect()
    [theirs] = left
    with theirs:
        theirs.settimeout(PATIENCE_S)
        assert theirs.recv(1) == b""
