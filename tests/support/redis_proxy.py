"""A way to Redis that can be made bad: slow, silent, deaf, cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.processes import free_port


@dataclass(eq=False)
class _Way:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pubsub: bool = False


@dataclass(eq=False)
class RedisProxy:
    """Stands before the server at ``target``; ``url`` is where it listens.

    ``delay_s``: each piece is so late, both ways. ``stalled``: nothing gets through until that ends. ``black_hole``:
    what is sent by either side is swallowed, and nobody is told. ``deaf``: connections that subscribed get nothing any
    more, all others work. ``closed``: nobody new gets through; ``turned_away`` counts those. ``subscribed``:
    connections that asked to listen so far. ``held``: pieces that came while it was stalled.
    """

    target: str
    url: str = ""
    delay_s: float = 0.0
    stalled: bool = False
    black_hole: bool = False
    deaf: bool = False
    closed: bool = False
    subscribed: int = 0
    turned_away: int = 0
    held: int = 0
    _server: asyncio.Server | None = None
    _ways: set[_Way] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self) -> None:
        """Take the place before the server, the same one each time."""
        port = urlsplit(self.url).port or free_port()
        self._server = await asyncio.start_server(self.serve, "127.0.0.1", port)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def leave(self) -> None:
        """Whoever comes from now on finds that nobody listens, as where a server has ended."""
        if self._server is not None:
            self._server.close()
        self.cut()

    async def close(self) -> None:
        """End, with all that goes through it."""
        self.leave()
        for task in list(self._tasks):
            task.cancel()
        if self._server is not None:
            await self._server.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.target)
        if self.closed:
            self.turned_away += 1
            writer.transport.abort()
            return
        try:
            if target.scheme == "unix":
                there_reader, there_writer = await asyncio.open_unix_connection(target.path)
            else:
                there_reader, there_writer = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.transport.abort()
            return
        way = _Way(writer, there_writer)
        self._ways.add(way)
        for source, sink, back in ((reader, there_writer, False), (there_reader, writer, True)):
            task = asyncio.create_task(self._carry(way, source, sink, back=back), name="redis proxy")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, way: _Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool) -> None:
        with suppress(OSError):
            while piece := await source.read(65_536):
                if not back and b"SUBSCRIBE" in piece:
                    self.subscribed += not way.pubsub
                    way.pubsub = True
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                self.held += self.stalled
                while self.stalled:  # noqa: ASYNC110 - a flag that anybody may set
                    await asyncio.sleep(0.01)
                if self.black_hole or (self.deaf and back and way.pubsub):
                    continue
                sink.write(piece)
                await sink.drain()
        self._ways.discard(way)
        way.client.transport.abort()
        way.server.transport.abort()

    def cut(self, *, but_pubsub: bool = False) -> None:
        """Break every connection, or those alone that do not listen."""
        for way in list(self._ways):
            if but_pubsub and way.pubsub:
                continue
            way.client.transport.abort()
            way.server.transport.abort()


@asynccontextmanager
async def redis_proxy(target: str) -> AsyncIterator[RedisProxy]:
    """A proxy on a free port until the block ends."""
    proxy = RedisProxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
