"""Follow a host name whose address may change, so that no connection stays with the old server.

A primary that was replaced may keep answering. A new connection reaches the new one by the name; an old connection
would stay, and its edge would receive nothing of what is written to the new one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Protocol
from weakref import WeakKeyDictionary

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_TIMES = 3
"""A peer is left when this many answers in a row lack it: DNS may rotate through a large pool."""


class Peer(Protocol):
    """A connection that knows its peer's address and can be cut."""

    @property
    def address(self) -> str | None:
        """The peer's address; ``None`` while it is not connected."""
        ...

    def leave(self) -> None: ...


class Name:
    """Looks a host name up every ``every_s`` seconds, and cuts connections to addresses that it lost."""

    def __init__(self, host: str, port: int, *, every_s: float = 5.0) -> None:
        self._host = host
        self._port = port
        self._every_s = every_s
        self._missing: WeakKeyDictionary[Peer, int] = WeakKeyDictionary()

    def dialled(self, peer: Peer) -> None:
        """Register a connection that was made by this name."""
        self._missing[peer] = 0

    async def watch(self) -> None:
        """Look the name up until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError):
                # A failed lookup proves nothing about the connections that there are.
                continue
            self.compare({str(address[0]) for *_, address in found})

    def compare(self, addresses: set[str]) -> None:
        """Cut connections whose address is missing from the answer for the third time in a row."""
        left = 0
        for peer, times in list(self._missing.items()):
            address = peer.address
            if address is None or address in addresses:
                self._missing[peer] = 0
            elif times + 1 < _TIMES:
                self._missing[peer] = times + 1
            else:
                self._missing[peer] = 0
                peer.leave()
                left += 1
        if left:
            log.warning("redis is elsewhere", extra={"node": self._host, "connections": left})


def is_name(host: str) -> bool:
    """Whether the host is a name, which may come to mean another machine."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host != "localhost"
    return False
