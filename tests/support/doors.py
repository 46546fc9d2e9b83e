"""The two doors of an edge, around its bare parts: aiohttp's, and the short way before it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.access.access import Access
from bridge.access.origins import Origins
from bridge.access.secret import SecretVerifier
from bridge.app.public_port import serving
from bridge.edge.admission import Admission
from bridge.edge.doorway import Doorway
from bridge.edge.entrance import Entrance
from bridge.edge.places import Places
from bridge.edge.reception import Reception
from bridge.edge.server import EdgeServer
from tests.support.bare_edge import BareEdge
from tests.support.stage import SECRET


class Doors:
    """The way into an edge that has no port yet."""

    def __init__(self, edge: BareEdge, places: Places) -> None:
        verifier = SecretVerifier(lambda: [SECRET.encode()])
        access = Access(verifier=verifier, tickets=edge.reader, cookie_name="exmail_bridge", claim="sub")
        origins = Origins(public_url="", allowed=tuple, trusted_proxies=tuple)
        reception = Reception(access=access, origins=origins, metrics=edge.metrics)
        self.entrance = Entrance(
            feed=edge.feed,
            hub=edge.hub,
            admission=Admission(feed=edge.feed, access=access, places=places, reception=reception, window_s=3600),
            origins=origins,
            reception=reception,
            metrics=edge.metrics,
            places=places,
            trusted_proxies=tuple,
        )
        self._server = EdgeServer(
            entrance=self.entrance,
            access=access,
            reception=reception,
            reader=edge.reader,
            standings=edge.standings,
            kick_s=3600,
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[str]:
        """Both doors on one port; its URL."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            door = Doorway(self.entrance)
            async with serving(sock, self._server.mount, request_timeout_s=60, shutdown_s=1, door=door) as acceptor:
                acceptor.start()
                yield f"http://127.0.0.1:{sock.getsockname()[1]}"
