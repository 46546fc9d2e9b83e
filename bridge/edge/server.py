"""The edge's HTTP surface: handshakes, and the few plain requests beside them.

A script does not see the status with which a WebSocket or EventSource was refused, and an EventSource that is answered
with anything but 200 never comes back. So these two are refused in their own protocols.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import re
from typing import Final

from aiohttp import hdrs, web

from bridge.access import codes
from bridge.access.access import Access, Identity, Refused
from bridge.access.chosen import chosen
from bridge.access.mounting import mount_points
from bridge.access.origins import Origins
from bridge.access.standing import require_standing
from bridge.access.whence import Trusted, client_address
from bridge.edge.admission import Admission, Admittance
from bridge.edge.canary import seen_frame
from bridge.edge.connection import Connection
from bridge.edge.feed import Feed
from bridge.edge.frames import closing_payload, sse_block, sse_retry, withdrawn_frame, ws_farewell
from bridge.edge.handover import Gone, take_socket
from bridge.edge.hub import Hub
from bridge.edge.places import Places
from bridge.edge.reception import Reception, json_answer
from bridge.edge.scripts import read_scripts
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.events import CANARY, embedded, parse_position
from bridge.journal.reader import Reader
from bridge.journal.standing import Asker, Standings
from bridge.obs.acceptor import give_up_dead_peer
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEAD_S: Final = 60.0
"""A browser that acknowledges nothing for this long is gone."""

_SSE_HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-store, no-transform\r\n"
    "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
)

_LIMIT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


class EdgeServer:
    """Routes and handshakes of one process.

    ``admitting``: who may open a connection; an operator's pass to the reserved stream is good there and nowhere else.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        hub: Hub,
        access: Access,
        admitting: Access,
        origins: Origins,
        reception: Reception,
        reader: Reader,
        standings: Standings,
        metrics: Metrics,
        kick_s: int,
        places: Places,
        trusted_proxies: Trusted,
        prefix: str = "",
    ) -> None:
        self._feed = feed
        self._hub = hub
        self._access = access
        self._reception = reception
        self._origins = origins
        self._reader = reader
        self._standings = standings
        self._kick_s = kick_s
        self._metrics = metrics
        self._places = places
        self._admission = Admission(feed=feed, access=admitting, places=places, reception=reception, window_s=kick_s)
        self._trusted = trusted_proxies
        self._mount_points = mount_points(prefix)
        self._scripts = read_scripts()

    def mount(self, app: web.Application) -> None:
        """Add the routes, at the root and below the public URL's path prefix."""
        for prefix in self._mount_points:
            app.router.add_get(f"{prefix}/ws", self.ws, allow_head=False)
            app.router.add_get(f"{prefix}/events", self.events, allow_head=False)
            for name in self._scripts:
                app.router.add_get(f"{prefix}/{name}", self.script, allow_head=False)
            for method, path, answer in (
                (hdrs.METH_GET, "/unread", self.unread),
                (hdrs.METH_GET, "/history", self.history),
                (hdrs.METH_POST, "/ticket", self.ticket),
            ):
                app.router.add_route(method, prefix + path, self._reception.guarded(answer))
                app.router.add_route(hdrs.METH_OPTIONS, prefix + path, self._reception.preflight)
            app.router.add_route(hdrs.METH_OPTIONS, f"{prefix}/events", self._reception.preflight)

    # -- requests that stay open

    async def ws(self, request: web.Request) -> web.StreamResponse:
        """``GET /ws``: a WebSocket, one event in each text frame."""
        try:
            self._origins.check(request, cookie=self._reception.by_cookie(request))
            accept = websocket_accept(request)
        except Refused as refused:
            return self._reception.refuse(request, refused)
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ).encode()
        try:
            admittance, connection = await self._open(request, request.query.get("after"), WebSocketConnection)
        except Refused as refused:
            # The script of an allowed origin sees a close code; it would not see a status.
            self._reception.turned_away(refused)
            try:
                transport, _ = take_socket(request)
            except Gone:
                return web.Response(status=400)
            transport.set_protocol(asyncio.Protocol())
            transport.write(head + ws_farewell(refused.code, self._hub.retry_ms(refused.code)))
            transport.close()
            return web.Response(status=101)
        self._begin(request, head, connection, admittance)
        return web.Response(status=101)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """``GET /events``: an event stream for ``EventSource``."""
        try:
            origin = self._origins.check(request, cookie=self._reception.by_cookie(request))
        except Refused as refused:
            return self._reception.refuse(request, refused)
        after = request.headers.get("Last-Event-ID") or request.query.get("after")
        try:
            admittance, connection = await self._open(request, after, SseConnection)
        except Refused as refused:
            if "text/event-stream" not in request.headers.get(hdrs.ACCEPT, ""):
                return self._reception.refuse(request, refused, origin)
            self._reception.turned_away(refused)
            retry_ms = self._hub.retry_ms(refused.code)
            body = sse_retry(retry_ms) + sse_block(closing_payload(refused.code, retry_ms))
            response = web.Response(
                body=body,
                content_type="text/event-stream",
                charset="utf-8",
                headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
                | self._origins.cors_headers(origin),
            )
            response.force_close()
            return response
        cors = "".join(f"{name}: {value}\r\n" for name, value in self._origins.cors_headers(origin).items())
        head = f"{_SSE_HEAD}{cors}\r\n".encode() + sse_retry(self._hub.retry_ms(0))
        self._begin(request, head, connection, admittance)
        return web.Response()

    async def _open(
        self, request: web.Request, after: str | None, kind: type[Connection]
    ) -> tuple[Admittance, Connection]:
        """Check who asks, and open the mailboxes. The caller must pass the result to :meth:`_begin` at once."""
        if self._hub.closing:
            raise Refused(503, codes.SHUTTING_DOWN, "closing", "this process is shutting down", retry_after_s=2)
        place = self._places.take(client_address(request, self._trusted()) if self._places.asks_address else "")
        try:
            admittance = await self._admission.admit(request, after)
        except BaseException:
            place.give_back()
            raise
        return admittance, kind(self._hub, admittance.identity, place)

    def _begin(self, request: web.Request, head: bytes, connection: Connection, admittance: Admittance) -> None:
        """Take the socket over and start the connection; there must be no await since the journal's answer."""
        try:
            transport, early = take_socket(request)
        except Gone:
            connection.connection_lost(None)
            self._admission.leave(admittance.mailboxes)
            return
        sock = transport.get_extra_info("socket")
        if sock is not None:
            give_up_dead_peer(sock, _DEAD_S)
        transport.set_protocol(connection)
        transport.write(head)
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
            connection.say(seen_frame(request, self._trusted()))
        for address, refused in admittance.withheld.items():
            connection.say(withdrawn_frame(address, refused.code))
        if self._hub.closing:
            connection.end(codes.SHUTTING_DOWN)
        if early:
            connection.data_received(early)

    # -- plain requests

    async def unread(self, request: web.Request) -> web.StreamResponse:
        """``GET /unread``: the count alone, for clients that poll."""
        identity, mailbox = await self._mailbox(request)
        account, unread, as_of = await self._reader.unread(mailbox)
        await self._require_standing(identity, mailbox)
        return json_answer({"mailbox": account, "unread": unread, "as_of": as_of})

    async def history(self, request: web.Request) -> web.StreamResponse:
        """``GET /history``: a page of events, oldest first."""
        identity, mailbox = await self._mailbox(request)
        text = request.query.get("after")
        after = parse_position(text) if text else None
        if text and after is None:
            raise Refused(400, codes.BAD_REQUEST, "request", "after is not a position: <epoch>-<seq>")
        limit_text = request.query.get("limit", "50")
        if not (_LIMIT.fullmatch(limit_text) and 1 <= int(limit_text) <= 200):
            raise Refused(400, codes.BAD_REQUEST, "request", "limit is a number from 1 to 200")
        page = await self._reader.page(mailbox, after=after, limit=int(limit_text))
        await self._require_standing(identity, mailbox)
        return json_answer(
            {
                "events": [embedded(event) for event in page.events],
                "position": str(page.position),
                "more": page.more,
                "complete": page.complete,
            }
        )

    async def ticket(self, request: web.Request) -> web.StreamResponse:
        """``POST /ticket``: a one-time credential that may be part of a URL."""
        identity = await self._access.identify(request, tickets=False)
        await self._require_standing(identity, *identity.mailboxes)
        life_s = self._access.ticket_life_s(identity)
        ticket = await self._access.make_ticket(identity)
        return json_answer({"ticket": ticket, "expires_in": life_s, "session": identity.session_name})

    async def script(self, request: web.Request) -> web.StreamResponse:
        """``GET /client.js`` and its siblings; pages of any origin may load them."""
        script = self._scripts[request.path.rpartition("/")[2]]
        return web.Response(
            body=script.body,
            content_type=script.content_type,
            charset="utf-8",
            headers={
                "Access-Control-Allow-Origin": "*",
                "Cross-Origin-Resource-Policy": "cross-origin",
                "Cache-Control": "public, max-age=300",
                "X-Content-Type-Options": "nosniff",
            },
        )

    # -- what the plain requests share

    async def _mailbox(self, request: web.Request) -> tuple[Identity, str]:
        identity = await self._access.identify(request)
        return identity, await chosen(self._access, self._standings, identity, request.query.get("mailbox"))

    async def _require_standing(self, identity: Identity, *addresses: str) -> None:
        """Check the asker's standing after reading, so that the answer goes to who he is now.

        Standing with one of the addresses is enough.
        """
        refusals = []
        for standing in await self._standings.look([Asker(address, identity.session) for address in addresses]):
            try:
                require_standing(identity, standing, window_s=self._kick_s)
            except Refused as refused:
                refusals.append(refused)
        if len(refusals) == len(addresses):
            raise refusals[0]


def websocket_accept(request: web.Request) -> str:
    """Answer the handshake's key (RFC 6455, 4.2).

    Raises:
        Refused: this is not a WebSocket handshake.
    """
    headers = request.headers
    connection = {part.strip().lower() for part in headers.get(hdrs.CONNECTION, "").split(",")}
    if headers.get(hdrs.UPGRADE, "").lower() != "websocket" or "upgrade" not in connection:
        raise Refused(400, codes.BAD_REQUEST, "request", "not a WebSocket handshake; behind nginx: Upgrade headers")
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise Refused(400, codes.BAD_REQUEST, "request", "WebSocket version 13 is needed")
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    try:
        whole = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        whole = False
    if not whole:
        raise Refused(400, codes.BAD_REQUEST, "request", "Sec-WebSocket-Key is not 16 bytes of base64")
    digest = hashlib.sha1(key.encode() + _WEBSOCKET_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
