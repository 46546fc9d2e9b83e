"""A port that is told to stop before it has begun: Redis may answer an edge while it already ends."""

from __future__ import annotations

import asyncio
import socket

from bridge.obs.acceptor import Acceptor


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
