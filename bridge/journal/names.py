"""A server behind a name that may come to mean another: looked at now and then, so that no connection stays behind.

A primary that was replaced may go on to answer. Whoever dials goes to the new one by the name; a connection that lives
would stay, and its edge deaf to all that is written elsewhere.
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
"""Answers in a row that a peer is missing from, before it is left: a large pool may be told in turns."""


class Peer(Protocol):
    """A connection that knows where it goes, and can be cut."""

    @property
    def address(self) -> str | None:
        """The peer's address; ``None`` while there is no connection."""
        ...

    def leave(self) -> None: ...


class Name:
    """Looks a host name up every ``every_s`` seconds, and cuts connections whose peer has left its answer."""

    def __init__(self, host: str, port: int, *, every_s: float = 5.0) -> None:
        self._host = host
        self._port = port
        self._every_s = every_s
        self._missing: WeakKeyDictionary[Peer, int] = WeakKeyDictionary()

    def dialled(self, peer: Peer) -> None:
        """This connection was made by the name."""
        self._missing[peer] = 0

    async def watch(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError):
                # A name that is not found now says nothing about who is connected.
                continue
            self.compare({str(address[0]) for *_, address in found})

    def compare(self, addresses: set[str]) -> None:
        """Cut those who are missing from the name's answer, for the third time in a row."""
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
    """Whether the host is a name that could come to mean another machine."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host != "localhost"
    return False
