"""The way in of every connection: from a request to a connection that has begun, or to the words of a farewell.

Whoever read the request calls :meth:`Entrance.greet`, then :meth:`Entrance.let_in`. Whose the socket was is the
caller's affair: aiohttp's (:mod:`bridge.edge.server`), or nobody's yet (:mod:`bridge.edge.doorway`). So there is one
way in, whichever door it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, TypeVar

from bridge.access import codes
from bridge.access.asking import Asking
from bridge.access.origins import Origins, comes_from_elsewhere
from bridge.access.refused import Refused
from bridge.access.whence import Trusted, client_address
from bridge.edge.admission import Admission, Admittance
from bridge.edge.canary import seen_frame
from bridge.edge.connection import Connection
from bridge.edge.feed import Feed
from bridge.edge.frames import withdrawn_frame
from bridge.edge.handshakes import Handshake, StreamHandshake, WebSocketHandshake
from bridge.edge.hub import Hub
from bridge.edge.lean import lean_socket
from bridge.edge.places import Places
from bridge.edge.reception import Reception
from bridge.events import CANARY
from bridge.obs.acceptor import give_up_dead_peer
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)

DEAD_S: Final = 60.0
"""A browser that acknowledges nothing for this long is gone."""

H = TypeVar("H", WebSocketHandshake, StreamHandshake)
TakeSocket = Callable[[Connection, bytes], asyncio.Transport | None]
"""Take the client's socket for a connection, and write what stands before the first frame (the bytes); return what the
connection writes to. ``None``: the client has left. If it raises, the socket is closed."""


class Entrance:
    """Checks who is at the door, and lets him in."""

    def __init__(
        self,
        *,
        feed: Feed,
        hub: Hub,
        admission: Admission,
        origins: Origins,
        reception: Reception,
        metrics: Metrics,
        places: Places,
        trusted_proxies: Trusted,
    ) -> None:
        self._feed = feed
        self._hub = hub
        self._admission = admission
        self._origins = origins
        self._reception = reception
        self._metrics = metrics
        self._places = places
        self._trusted = trusted_proxies

    def greet(self, asking: Asking, kind: type[H]) -> H:
        """Check what a request itself says; nothing is taken, asked or counted yet.

        Raises:
            Refused: it is to be answered with a status, as any request.
        """
        cookie = comes_from_elsewhere(asking) and self._reception.by_cookie(asking)
        origin = self._origins.check(asking, cookie=cookie)
        return kind(asking, origin, self._origins.cors_headers(origin))

    async def let_in(self, handshake: Handshake, take: TakeSocket) -> Connection | None:
        """Check who asks, open his mailboxes, and start his connection on the socket that ``take`` hands over.

        Live messages come for him as soon as the journal has answered, so nothing is awaited from then on. Return the
        connection; ``None`` if he has left, or if it could not begin, which is logged. The caller cancels this if it
        takes longer than :data:`bridge.edge.reception.PATIENCE_S`, and says :attr:`too_late`.

        Raises:
            Refused: he is not let in, and ``take`` was not called; :meth:`farewell` has the words for it.
        """
        asking = handshake.asking
        if self._hub.closing:
            raise Refused(503, codes.SHUTTING_DOWN, "closing", "this process is shutting down", retry_after_s=2)
        place = self._places.take(client_address(asking, self._trusted()) if self._places.asks_address else "")
        try:
            admittance = await self._admission.admit(asking, handshake.after)
            try:
                connection = handshake.kind(self._hub, admittance.identity, place)
                return connection if self._start(connection, handshake, admittance, take) else None
            finally:
                # Those that he follows now have his cursor.
                self._admission.leave(admittance.mailboxes)
        except BaseException:
            place.give_back()
            raise

    @property
    def too_late(self) -> Refused:
        """The refusal of whoever has waited for too long."""
        return self._reception.in_words(TimeoutError())

    def farewell(self, handshake: Handshake, refused: Refused) -> bytes:
        """The answer for who is turned away; it is counted."""
        self._reception.turned_away(refused)
        return handshake.farewell(refused.code, self._hub.retry_ms(refused.code))

    def transport_for(self, connection: Connection, sock: socket.socket) -> asyncio.Transport:
        """What a connection writes to, for a socket that never had a transport; the socket is closed in any case.

        Raises:
            OSError: the socket cannot be used.
        """
        return lean_socket(sock, connection, self._hub.watch)

    def _start(self, connection: Connection, handshake: Handshake, admittance: Admittance, take: TakeSocket) -> bool:
        """Start on the client's socket; return whether the connection lives. If it does not, nothing is left of it."""
        transport = None
        try:
            transport = take(connection, handshake.welcome(self._hub.retry_ms))
            if transport is not None:
                self._begin(connection, handshake, admittance, transport)
                return True
        except Exception:
            log.exception("a handshake failed")
            if (current := connection.transport or transport) is not None:
                current.abort()
        connection.connection_lost(None)
        return False

    def _begin(
        self, connection: Connection, handshake: Handshake, admittance: Admittance, transport: asyncio.Transport
    ) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            give_up_dead_peer(sock, DEAD_S)
        connection.begin(transport)
        begun = []
        for each in admittance.mailboxes:
            tail, opened, standing, *_ = each.opening
            if opened.status != "barred" and opened.status != "ahead":
                self._metrics.edge_resumes[opened.status].inc()
            after = each.after if opened.status == "resumed" else None
            cursor = connection.follow(
                tail, address=each.address, opened_at=standing.at, after=after, many=admittance.many
            )
            begun.append((cursor, each.opening, after))
        for cursor, opening, after in begun:
            cursor.begin(opening.opened, after)
            self._feed.joined(opening, cursor)
        if admittance.mailboxes[0].address == CANARY:
            connection.say(seen_frame(handshake.asking, self._trusted()))
        for address, refused in admittance.withheld.items():
            connection.say(withdrawn_frame(address, refused.code))
        if self._hub.closing:
            connection.end(codes.SHUTTING_DOWN)
