"""The edge's HTTP surface: handshakes that aiohttp has read, and the few plain requests beside them."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final

from aiohttp import hdrs, web

from bridge.access import codes
from bridge.access.access import Access, Identity, Refused
from bridge.access.chosen import chosen
from bridge.access.mounting import mount_points
from bridge.access.standing import require_standing
from bridge.edge.connection import Connection
from bridge.edge.entrance import Entrance, H
from bridge.edge.handover import Gone, take_socket
from bridge.edge.handshakes import Handshake, StreamHandshake, WebSocketHandshake
from bridge.edge.reception import PATIENCE_S, Reception, json_answer
from bridge.edge.scripts import read_scripts
from bridge.events import embedded, parse_position
from bridge.journal.reader import Reader
from bridge.journal.standing import Asker, Standings

_LIMIT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


class EdgeServer:
    """Routes and handshakes of one process. ``access``: who may ask for anything but a connection."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        access: Access,
        reception: Reception,
        reader: Reader,
        standings: Standings,
        kick_s: int,
        prefix: str = "",
    ) -> None:
        self._entrance = entrance
        self._access = access
        self._reception = reception
        self._reader = reader
        self._standings = standings
        self._kick_s = kick_s
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
        return await self._hold(request, WebSocketHandshake)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """``GET /events``: an event stream for ``EventSource``."""
        return await self._hold(request, StreamHandshake)

    async def _hold(self, request: web.Request, kind: type[H]) -> web.StreamResponse:
        """Let somebody in whose request aiohttp has read. What is returned is written only if the socket is its own."""
        try:
            handshake = self._entrance.greet(request, kind)
        except Refused as refused:
            return self._reception.refuse(request, refused)
        early = b""

        def take(connection: Connection, welcome: bytes) -> asyncio.Transport | None:
            nonlocal early
            try:
                transport, early = take_socket(request)
            except Gone:
                return None
            transport.set_protocol(connection)
            transport.write(welcome)
            return transport

        try:
            async with asyncio.timeout(PATIENCE_S):
                connection = await self._entrance.let_in(handshake, take)
        except Refused as refused:
            return self._turn_away(request, handshake, refused)
        except TimeoutError:
            return self._turn_away(request, handshake, self._entrance.too_late)
        if early and connection is not None:
            connection.data_received(early)
        return web.Response(status=400)

    def _turn_away(self, request: web.Request, handshake: Handshake, refused: Refused) -> web.StreamResponse:
        if not handshake.sees_codes:
            return self._reception.refuse(request, refused, handshake.origin)
        farewell = self._entrance.farewell(handshake, refused)
        with suppress(Gone):
            transport, _ = take_socket(request)
            transport.set_protocol(asyncio.Protocol())
            transport.write(farewell)
            transport.close()
        return web.Response(status=400)

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
