"""How the timer spreads its work, and what it takes for alive: pongs beside all that a client may send."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from bridge.edge.hub import HEARTBEAT_S, STEPS
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.edge.transport.wire import FRAMES_A_SECOND, PONG, TEXT
from tests.edge.test_wire import client_frame
from tests.support.timed_hub import Rig

CONTINUATION = 0


async def test_a_step_of_the_timer_is_for_few(rig: Rig) -> None:
    """A mail that comes meanwhile waits for all of it: of those who came together each step takes its share."""
    crowd = [await rig.join(SseConnection) for _ in range(HEARTBEAT_S * STEPS)]
    written = []
    for _ in range(HEARTBEAT_S * STEPS):
        rig.hub.step()
        written.append(sum(_is_there(peer) for _, peer in crowd))
    assert written == [1] * len(crowd)


def _is_there(peer: socket.socket) -> bool:
    """Whether something has come, which is taken."""
    try:
        return bool(peer.recv(10_000))
    except BlockingIOError:
        return False


async def test_pongs_that_nobody_asked_for_are_frames_like_others(rig: Rig) -> None:
    """The one that is awaited is not counted; a flood of them is not let go on, however it is cut."""
    pong = b"\x8a\x80\x00\x00\x00\x00"
    connection, _ = await rig.join(WebSocketConnection)
    rig.pass_time(HEARTBEAT_S)
    for _ in range(FRAMES_A_SECOND + 1):
        connection.data_received(pong)
    assert connection.code == 0
    rig.pass_time(1)
    for _ in range(FRAMES_A_SECOND + 1):
        connection.data_received(pong)
    assert connection.code == 3501


async def test_a_message_in_pieces_is_put_together_over_heartbeats(rig: Rig) -> None:
    """What is incomplete is not forgotten while time passes, and a pong may come in its middle."""
    connection, peer = await rig.join(WebSocketConnection)
    connection.data_received(client_frame(b"one", TEXT, final=False))
    for _ in range(HEARTBEAT_S):
        rig.pass_time(1)
        connection.data_received(client_frame(b"", PONG))
    connection.data_received(client_frame(b"two", CONTINUATION))
    assert connection.code == 0
    connection.data_received(client_frame(b"x", CONTINUATION))
    assert connection.code == 1002
    peer.close()


@pytest.mark.parametrize("expires", [1005.0, 1020.0])
async def test_a_renewed_credential_ends_the_connection_at_its_own_time(rig: Rig, expires: float) -> None:
    """Sooner than the first one, or later: what was known of the first does not count any more."""
    connection, _ = await rig.join(SseConnection, expires=1010.0)
    connection.renew(replace(connection.identity, expires=expires))
    rig.pass_time(int(expires - rig.seconds) - 1)
    assert connection.code == 0
    rig.pass_time(1)
    assert connection.code == 3005
