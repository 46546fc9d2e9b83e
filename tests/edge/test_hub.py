"""What time brings to open connections: heartbeats, pongs, expiry, sockets that stay backed up.

The clock is the test's; the sockets are real.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest

from bridge.access.access import Identity
from bridge.edge.connection import Connection
from bridge.edge.frames import Frame
from bridge.edge.hub import HEARTBEAT_S
from bridge.edge.kernel import unacknowledged
from bridge.edge.tail import Tail
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.events import Position
from tests.support.timed_hub import OPENED, NoLoader, Rig
from tests.support.waiting import until
from tests.support.workers import sample

KINDS: list[type[Connection]] = [WebSocketConnection, SseConnection]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_heartbeat_comes_every_period_and_scripts_can_see_it(rig: Rig, kind: type[Connection]) -> None:
    """Under 30 s, as data; WebSocket also gets a ping, for which a script is not asked."""
    _, peer = await rig.join(kind)
    rig.pass_time(HEARTBEAT_S)
    beat = await rig.heard(peer)
    assert beat.count(b'{"type":"exmail.heartbeat","data":{}}') == 1
    if kind is SseConnection:
        assert beat == b'data: {"type":"exmail.heartbeat","data":{}}\n\n'
    else:
        assert beat.endswith(b"\x89\x00")


async def test_nobody_stays_for_ever(rig: Rig) -> None:
    """A connection is told to come back after its life, a fifth more or less, and not all in one second."""
    rig.life_s = 100
    crowd = [await rig.join(SseConnection) for _ in range(40)]
    rig.pass_time(79)
    assert not any(connection.code for connection, _ in crowd)
    gone: list[int] = []
    for _ in range(42):
        rig.pass_time(1)
        gone.append(sum(connection.code == 3001 for connection, _ in crowd))
    assert gone[-1] == 40
    assert len(set(gone)) > 10


async def test_connections_are_spread_over_the_period(rig: Rig) -> None:
    """Not all heartbeats in one second."""
    peers = [(await rig.join(SseConnection))[1] for _ in range(HEARTBEAT_S)]
    rig.pass_time(1)
    ready = 0
    for peer in peers:
        try:
            ready += bool(peer.recv(1000))
        except BlockingIOError:
            continue
    assert ready == 1


async def test_who_does_not_answer_a_ping_is_closed_with_3012(rig: Rig) -> None:
    """Within ten seconds; who answers stays."""
    silent, silent_peer = await rig.join(WebSocketConnection)
    lively, lively_peer = await rig.join(WebSocketConnection)
    for _ in range(2 * HEARTBEAT_S):
        rig.pass_time(1)
        try:
            if b"\x89\x00" in lively_peer.recv(10_000):
                lively.data_received(b"\x8a\x80\x00\x00\x00\x00")
        except BlockingIOError:
            continue
    assert silent.code == 3012
    assert lively.code == 0
    assert b"\x0b\xc4no pong" in await rig.heard(silent_peer)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_connection_ends_when_its_token_does(rig: Rig, kind: type[Connection]) -> None:
    """To the second; and nothing is written after the goodbye."""
    connection, peer = await rig.join(kind, expires=1003.0)
    rig.pass_time(2)
    assert connection.code == 0
    rig.pass_time(1)
    assert connection.code == 3005
    goodbye = await rig.heard(peer)
    assert b"token expired" in goodbye
    rig.tail.append(b"abcdefgh", 1, b'{"specversion":"1.0"}')
    rig.tail.flush()
    rig.pass_time(HEARTBEAT_S)
    if kind is SseConnection:
        assert await rig.heard(peer) == b""
        assert b'"retry_ms":' in goodbye
    else:
        with pytest.raises(BlockingIOError):
            peer.recv(1000)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_socket_that_stays_backed_up_is_cut(rig: Rig, kind: type[Connection]) -> None:
    """Not empty for 30 s; a heartbeat is not added to what waits."""
    connection, _ = await rig.join(kind)
    seq = 0
    while not connection.behind_since:
        seq += 1
        rig.tail.append(b"abcdefgh", seq, b'{"specversion":"1.0","id":"abcdefgh-%d","x":"%b"}' % (seq, b"x" * 60_000))
        rig.tail.flush()
    rig.pass_time(30)
    assert connection.code == 0
    rig.pass_time(1)
    assert connection.code == 3008


async def test_closes_are_counted_by_code_and_the_gauge_returns(rig: Rig) -> None:
    """Who hangs up, and why."""
    connection, peer = await rig.join(SseConnection, expires=1000.5)
    assert sample(rig.metrics, "edge_connections", transport="sse") == 1
    rig.pass_time(1)
    assert connection.code == 3005
    while await rig.heard(peer):
        continue
    await until(lambda: sample(rig.metrics, "edge_connections", transport="sse") == 0)
    assert sample(rig.metrics, "edge_closes_total", code="3005") == 1


async def test_a_ping_that_waits_in_the_kernel_says_nothing_yet(rig: Rig) -> None:
    """A slow line is still busy with what was written before it; when that is through, the deadline counts."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        identity = Identity(("bob@gzdev.com",), None, frozenset(), 1e12)
        slow = WebSocketConnection(rig.hub, identity)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: slow, sock=ours)
        slow.begin(transport)
        slow.follow(rig.tail).begin(OPENED, None)
        rig.tail.append(b"abcdefgh", 1, b'{"specversion":"1.0","id":"abcdefgh-1","x":"%b"}' % (b"x" * 60_000))
        rig.tail.flush()
        assert not slow.behind_since
        rig.pass_time(2 * HEARTBEAT_S)
        assert slow.code == 0
        read = asyncio.create_task(_read_all(theirs))
        await until(lambda: slow.transport is not None and unacknowledged(slow.transport) == 0)
        rig.pass_time(HEARTBEAT_S)
        assert slow.code == 3012
        read.cancel()


async def test_a_snapshot_that_waits_is_not_counted_as_told(rig: Rig) -> None:
    """Of another mailbox's frames before it none has its position: who is cut off then has never seen it."""
    other = Tail("ann@gzdev.com", NoLoader())
    opened = replace(OPENED, mailbox="ann@gzdev.com", top=Position("annsbox1", 0), shared={})
    other.adopt(opened)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    rig.peers.append(theirs)
    connection = SseConnection(rig.hub, Identity(("bob@gzdev.com", "ann@gzdev.com"), None, frozenset(), 1e12))
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
    connection.begin(transport)
    bob, ann = (connection.follow(tail, many=True) for tail in (rig.tail, other))
    bob.begin(OPENED, None)
    ann.begin(opened, None)
    number = 0
    while not connection.behind_since:
        number += 1
        rig.tail.append(b"abcdefgh", number, b'{"bob":%d,"x":"%b"}' % (number, b"x" * 9000))
        rig.tail.flush()
    anew = replace(opened, top=Position("annsbox2", 0), status="epoch", shared={})
    other.repair(anew, [], {ann})
    rig.tail.append(b"abcdefgh", number + 1, b'{"last":1}')
    rig.tail.flush()
    told = b""
    while b'"epoch"' not in told or b'{"last":1}' not in told:
        told += await rig.heard(theirs)
    before, _, after = told.partition(b'"position":"annsbox2-0"')
    assert b'{"last":1}' in before
    assert before.count(b"annsbox2-0") == 1  # in the line of that snapshot itself
    assert before.count(b",annsbox1-0\n") == number + 2
    assert b"id: abcdefgh-%d,annsbox2-0\n" % (number + 1) in before
    assert not after.count(b"id:")


async def test_what_the_edge_says_outlives_the_mailbox_that_it_waited_behind(rig: Rig) -> None:
    """A frame of the edge itself is for the connection: it is not lost with the first mailbox's own frames."""
    other = Tail("ann@gzdev.com", NoLoader())
    opened = replace(OPENED, mailbox="ann@gzdev.com", top=Position("annsbox1", 0), shared={})
    other.adopt(opened)
    connection, peer = await rig.join(SseConnection)
    connection.follow(other).begin(opened, None)
    number = 0
    while not connection.behind_since:
        number += 1
        rig.tail.append(b"abcdefgh", number, b'{"bob":%d,"x":"%b"}' % (number, b"x" * 9000))
        rig.tail.flush()
    connection.say(Frame(b'{"said":1}'))
    rig.tail.append(b"abcdefgh", number + 1, b'{"after":1}')
    rig.tail.flush()
    rig.tail.end(3507)
    assert connection.code == 0
    told = b""
    while b"exmail.withdrawn" not in told:
        told += await rig.heard(peer)
    assert told.index(b'{"said":1}') < told.index(b"exmail.withdrawn")
    assert b'{"after":1}' not in told
    assert [(left.code, left.transport) for left in rig.hub.left_of("bob@gzdev.com")] == [(3507, "sse")]
    other.end(3507)
    assert connection.code == 3507


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_comes_after_the_mailbox_was_withdrawn_is_not_shown(
    rig: Rig, kind: type[Connection]
) -> None:
    """The journal was asked on its behalf before that."""
    other = Tail("ann@gzdev.com", NoLoader())
    opened = replace(OPENED, mailbox="ann@gzdev.com", top=Position("annsbox1", 0), shared={})
    other.adopt(opened)
    connection, peer = await rig.join(kind)
    ann = connection.follow(other)
    ann.begin(opened, None)
    await rig.heard(peer)
    ann.end(3507)
    assert b"exmail.withdrawn" in await rig.heard(peer)
    late = replace(opened, top=Position("annsbox1", 1), status="resumed", events=[b'{"late":1}'], shared={})
    ann.read(late, Position("annsbox1", 0))
    ann.end(3507)
    rig.tail.append(b"abcdefgh", 1, b'{"bob":1}')
    rig.tail.flush()
    told = await rig.heard(peer)
    assert b'{"bob":1}' in told
    assert b"late" not in told
    assert connection.code == 0


async def test_what_is_owed_is_bounded_over_all_mailboxes_together(rig: Rig) -> None:
    """A connection that takes nothing is cut by one bound, however many mailboxes it has."""
    tails = [rig.tail]
    connection, _ = await rig.join(SseConnection)
    for number in range(4):
        tail = Tail(f"u{number}@gzdev.com", NoLoader())
        opened = replace(OPENED, mailbox=tail.mailbox, top=Position(f"usersbx{number}", 0), shared={})
        tail.adopt(opened)
        connection.follow(tail).begin(opened, None)
        tails.append(tail)
    seq = 0
    while not connection.behind_since:
        seq += 1
        rig.tail.append(b"abcdefgh", seq, b"x" * 60_000)
        rig.tail.flush()
    for tail in tails[1:]:
        assert connection.code == 0
        tail.append(tail.epoch.encode(), 1, b"x" * 80_000)
        tail.flush()
    assert connection.code == 3008


async def _read_all(peer: socket.socket) -> None:
    while await asyncio.get_running_loop().sock_recv(peer, 1 << 20):
        continue


@pytest.mark.parametrize("kind", KINDS)
async def test_two_mailboxes_on_one_connection(rig: Rig, kind: type[Connection]) -> None:
    """Each has a cursor of its own: a snapshot, what comes live, and what waited while the socket was backed up."""
    other = Tail("ann@gzdev.com", NoLoader())
    opened = replace(OPENED, mailbox="ann@gzdev.com", top=Position("annsbox1", 0), shared={})
    other.adopt(opened)
    connection, peer = await rig.join(kind)
    connection.follow(other).begin(opened, None)
    assert b"ann@gzdev.com" in await rig.heard(peer)
    for number in range(1, 41):
        rig.tail.append(b"abcdefgh", number, b'{"bob":%d,"x":"%b"}' % (number, b"x" * 9000))
        rig.tail.flush()
        other.append(b"annsbox1", number, b'{"ann":%d}' % number)
        other.flush()
    assert connection.behind_since
    told = b""
    while b'{"bob":40,' not in told or b'{"ann":40}' not in told:
        told += await rig.heard(peer)
    for number in range(1, 41):
        assert told.count(b'{"bob":%d,' % number) == told.count(b'{"ann":%d}' % number) == 1
    assert [cursor.position.seq for cursor in connection.cursors] == [40, 40]
    peer.close()
    await until(lambda: not rig.tail.cursors and not other.cursors)
