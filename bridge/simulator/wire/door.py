"""The listening socket, which can be shut and opened again without losing its port.

A shut port that nobody holds may be given to the very client that tries it again and again, which then talks to
itself. So a second socket, bound and never listening, keeps the port: connections to it are refused by the system.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_Address = tuple[str | int, ...] | tuple[int, bytes]


class Door:
    """Accepts TCP connections on one host and port while it is open."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol], *, host: str, port: int) -> None:
        """Reserve the port (0: any free one); nothing is accepted yet.

        Raises:
            OSError: the port is taken.
        """
        self._protocol = protocol
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family: int = family
        # Sockets that share a port by SO_REUSEPORT do not notice each other; this one would.
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        self._keeper = self._bind(address)
        self.host: str
        self.port: int
        self.host, self.port = self._keeper.getsockname()[:2]
        self._listening: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Accept connections from now on; nothing happens when it is open."""
        if self._listening is None:
            self._listening = self._bind((self.host, self.port))
            self._listening.listen(1024)
            task = asyncio.create_task(self._serve(self._listening), name="simulator door")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def opened(self) -> None:
        """Return when connections are served, after `open`."""
        await asyncio.gather(*self._tasks)

    def shut(self) -> None:
        """Refuse connections from now on; those that are open stay."""
        self._listening = None
        if self._server is not None:
            self._server.close()
            self._server = None

    async def remove(self) -> None:
        """Give the port back."""
        self.shut()
        await self.opened()
        self._keeper.close()

    async def _serve(self, listening: socket.socket) -> None:
        server = await asyncio.get_running_loop().create_server(self._protocol, sock=listening)
        if listening is self._listening:
            self._server = server
        else:
            server.close()

    def _bind(self, address: _Address) -> socket.socket:
        sock = socket.socket(self._family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.setblocking(False)
        return sock
