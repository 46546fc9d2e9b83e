"""The edge without HTTP: a feed on a real Valkey, and connections whose other ends are plain sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from bridge.access.access import Identity
from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.feed import Feed, Opening
from bridge.edge.hub import Hub
from bridge.edge.pace import Pace
from bridge.edge.recollection import Recollection
from bridge.edge.rounds import Rounds
from bridge.edge.transport.sse import SseConnection
from bridge.events import Position
from bridge.journal.clock import SharedClock, redis_now_us
from bridge.journal.connect import RedisAddress
from bridge.journal.reader import Reader
from bridge.journal.reports import Reports
from bridge.journal.standing import Asker, Standings
from bridge.obs.metrics import Metrics
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S

STILL = Pace(probe_s=3600, deaf_s=60, tops_s=3600, reconnect_s=0.02, idle_s=3600)
"""Nothing happens by itself."""


@dataclass
class BareEdge:
    """The parts, and what a handshake does with them, step by step."""

    feed: Feed
    hub: Hub
    reader: Reader
    standings: Standings
    rounds: Rounds
    metrics: Metrics
    peers: list[socket.socket] = field(default_factory=list)

    async def open(self, mailbox: str = BOB, after: Position | None = None, *, session: str = "") -> Opening:
        async with asyncio.timeout(PATIENCE_S):
            return await self.feed.open(Asker(mailbox, session), after)

    async def join(
        self,
        opening: Opening,
        kind: type[Connection] = SseConnection,
        *,
        after: Position | None = None,
        mailbox: str = BOB,
        session: str = "",
    ) -> tuple[Cursor, socket.socket]:
        """The socket is there: the connection begins, resumed from ``after`` where that was asked for."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.peers.append(theirs)
        identity = Identity((mailbox,), None, frozenset(), 1e12, session)
        connection = kind(self.hub, identity)
        cursor = connection.follow(opening.tail, address=mailbox, opened_at=opening.standing.at)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
        connection.begin(transport)
        cursor.begin(opening.opened, after)
        self.feed.joined(opening, cursor)
        self.feed.opened(opening.tail)
        return cursor, theirs

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"exmail_bridge_{name}", labels) or 0


async def heard(peer: socket.socket, *words: bytes) -> bytes:
    """What has come, up to these words."""
    got = b""
    async with asyncio.timeout(PATIENCE_S):
        while not all(word in got for word in words) or not got:
            piece = await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
            if not piece:
                break
            got += piece
    return got


@asynccontextmanager
async def bare_edge(
    redis_url: str,
    pace: Pace = STILL,
    *,
    history_events: int = 200,
    clock: Callable[[], float] | None = None,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[BareEdge]:
    """A feed that runs until the end of the block. ``clock`` and ``wall``: as for :class:`Feed` and :class:`Hub`."""
    address = RedisAddress(redis_url)
    redis = address.client(timeout_s=PATIENCE_S)
    reader = Reader(redis, KEYS, history_events=history_events, history_s=3600)
    standings, metrics = Standings(redis, KEYS), Metrics()
    hub = Hub(metrics, wall=wall)
    rounds = Rounds(standings, hub, window_s=3600, rest_s=0.02, pause_s=0.02)
    feed = Feed(
        address=address,
        keys=KEYS,
        reader=reader,
        standings=standings,
        rounds=rounds,
        reports=Reports(redis, KEYS),
        name="bare",
        redis_clock=SharedClock(partial(redis_now_us, redis)),
        recollection=Recollection(),
        hub=hub,
        metrics=metrics,
        pace=pace,
        **({} if clock is None else {"clock": clock}),
    )
    running = asyncio.create_task(feed.run(), name="bare edge")
    edge = BareEdge(feed, hub, reader, standings, rounds, metrics)
    try:
        connected = asyncio.create_task(feed.connected.wait())
        await asyncio.wait([running, connected], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield edge
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.wait([running])
        hub.end_all(3001)
        for peer in edge.peers:
            peer.close()
        await redis.aclose()
