"""The way in of every connection: from a request to a connection that has begun, or to the words of a farewell.

Whoever read the request calls these steps, in this order: :meth:`Entrance.greet`, :meth:`Entrance.open`,
:meth:`Entrance.begin`. Whose the socket was is the caller's affair: aiohttp's (:mod:`bridge.edge.server`), or nobody's
yet (:mod:`bridge.edge.doorway`). So there is one way in, whichever door it is.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, NamedTuple, TypeVar

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

DEAD_S: Final = 60.0
"""A browser that acknowledges nothing for this long is gone."""

H = TypeVar("H", WebSocketHandshake, StreamHandshake)


class Guest(NamedTuple):
    """Who may come in: his mailboxes are open, and wait for him; the connection has no socket yet."""

    handshake: Handshake
    admittance: Admittance
    connection: Connection


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

    async def open(self, handshake: Handshake) -> Guest:
        """Check who asks, and open his mailboxes.

        The caller passes the guest to :meth:`begin` or :meth:`leave`, with no await in between: live messages have
        been coming for him since the journal answered. The caller also cancels this if it takes longer than
        :data:`bridge.edge.reception.PATIENCE_S`, and says :attr:`too_late`.

        Raises:
            Refused: he is not let in; :meth:`farewell` has the words for it.
        """
        asking = handshake.asking
        if self._hub.closing:
            raise Refused(503, codes.SHUTTING_DOWN, "closing", "this process is shutting down", retry_after_s=2)
        place = self._places.take(client_address(asking, self._trusted()) if self._places.asks_address else "")
        try:
            admittance = await self._admission.admit(asking, handshake.after)
        except BaseException:
            place.give_back()
            raise
        return Guest(handshake, admittance, handshake.kind(self._hub, admittance.identity, place))

    @property
    def too_late(self) -> Refused:
        """The refusal of whoever has waited for too long."""
        return self._reception.in_words(TimeoutError())

    def farewell(self, handshake: Handshake, refused: Refused) -> bytes:
        """The answer for who is turned away; it is counted."""
        self._reception.turned_away(refused)
        return handshake.farewell(refused.code, self._hub.retry_ms(refused.code))

    def welcome(self, guest: Guest) -> bytes:
        """What stands before the first frame."""
        return guest.handshake.welcome(self._hub.retry_ms)

    def leave(self, guest: Guest) -> None:
        """He left before his connection began."""
        guest.connection.connection_lost(None)
        self._admission.leave(guest.admittance.mailboxes)

    def transport_for(self, guest: Guest, sock: socket.socket) -> asyncio.Transport:
        """What the connection writes to, for a socket that never had a transport; the socket is closed in any case.

        Raises:
            OSError: the socket cannot be used.
        """
        return lean_socket(sock, guest.connection, self._hub.watch)

    def begin(self, guest: Guest, transport: asyncio.Transport) -> None:
        """Start the connection on a socket that is its own; what comes before the first frame has been written."""
        handshake, admittance, connection = guest
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
