"""A company's proxy: it tunnels where it may, and keeps count of what went through."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class ConnectProxy:
    """``targets`` are the tunnels that were made, ``refused`` those that were not, oldest first.

    ``closed_ports`` are refused with 403; ``login`` is the ``user:password`` that it wants, else 407; with ``hangs``
    it answers nothing; ``says`` is sent in place of the answer that opens a tunnel.
    """

    closed_ports: set[int] = field(default_factory=set)
    login: str = ""
    hangs: bool = False
    says: bytes = OPEN
    targets: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    url: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            answer, target = self._judge(head)
            if answer is None:
                await asyncio.Event().wait()
            elif answer != OPEN:
                writer.write(answer)
                await writer.drain()
                writer.close()
            else:
                host, _, port = target.rpartition(":")
                there_reader, there_writer = await asyncio.open_connection(host.strip("[]"), int(port))
                self._writers.add(there_writer)
                writer.write(answer)
                self._keep(asyncio.create_task(_copy(reader, there_writer), name="proxy, out"))
                self._keep(asyncio.create_task(_copy(there_reader, writer), name="proxy, in"))
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    def _judge(self, head: str) -> tuple[bytes | None, str]:
        """What is answered (``None``: nothing), and where the tunnel leads."""
        method, target, _ = head.split(" ", 2)
        wanted = f"Proxy-Authorization: Basic {b64encode(self.login.encode()).decode()}\r\n"
        if self.hangs:
            return None, target
        if self.login and wanted not in head:
            answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"
        elif method != "CONNECT":
            answer = b"HTTP/1.1 405 Only tunnels\r\n\r\n"
        elif int(target.rpartition(":")[2]) in self.closed_ports:
            answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nclosed"
        else:
            answer = self.says
        (self.targets if answer == OPEN else self.refused).append(target)
        return answer, target

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """Break every tunnel."""
        for writer in self._writers:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def connect_proxy(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[ConnectProxy]:
    """A proxy on a free port until the block ends; its ``url`` has no login."""
    proxy = ConnectProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
    proxy.url = f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        for task in list(proxy._tasks):
            task.cancel()
        await server.wait_closed()
