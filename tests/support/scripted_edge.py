"""An edge that does what a test tells it, connection by connection, for the browser's side of the contract."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from bridge.edge.scripts import read_scripts
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S

SCRIPTS = read_scripts()
EPOCH = "aaaaaaaa"
LIBRARIES = Path(__file__).parents[1] / "samples" / "libraries"
PAGE = "<!doctype html><title>Inbox</title><b id=badge></b><script src=/exmail/client.js></script>"


def event(seq: int, *, unread: int | None = None, as_of: int | None = None, epoch: str = EPOCH) -> dict[str, Any]:
    """A mail with the place ``seq``; its count and stamp grow with it unless told otherwise."""
    data = {"mailbox": "bob@gzdev.com", "mail_id": f"M{seq}", "unread": unread or seq, "as_of": as_of or 1000 + seq}
    return {"specversion": "1.0", "id": f"{epoch}-{seq}", "type": "exmail.mail.new", "data": data}


def snapshot(seq: int = 0, *, resumed: bool = False, unread: int | None = None, **data: Any) -> dict[str, Any]:
    """The first frame of a connection that continues from ``seq``."""
    reason = {} if resumed else {"reason": "first", "recent": []}
    known = {
        "mailbox": "bob@gzdev.com",
        "unread": unread,
        "as_of": None if unread is None else 1000 + seq,
        "position": f"{EPOCH}-{seq}",
        "resumed": resumed,
        "upstream": {"state": "connected", "since": 1, "why": ""},
        "known": True,
        "session": "of bob",
    }
    return {"type": "exmail.snapshot", "data": known | reason | data}


def closing(code: int, retry_ms: int = 10) -> dict[str, Any]:
    """The last frame of an event stream."""
    return {"type": "exmail.closing", "data": {"code": code, "reason": "told so", "retry_ms": retry_ms}}


class Connection:
    """One that the browser has opened: what it asked, and a way to talk back."""

    def __init__(
        self,
        request: web.Request,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        abort: Callable[[], None],
    ) -> None:
        self.path = request.path
        self.query = dict(request.query)
        self.cookie = request.headers.get("Cookie")
        self.left = asyncio.Event()
        self.done = asyncio.Event()
        self._send = send
        self._close = close
        self._abort = abort

    async def say(self, *frames: dict[str, Any]) -> None:
        """Send frames."""
        for frame in frames:
            await self._send(json.dumps(frame))

    async def say_text(self, text: str) -> None:
        """Send anything."""
        await self._send(text)

    async def close(self, code: int = 1000) -> None:
        """Close a WebSocket with a code; end an event stream."""
        await self._close(code)
        self.done.set()

    def abort(self) -> None:
        """End it without a word, as a cable that is pulled."""
        self._abort()
        self.done.set()


class ScriptedEdge:
    """Serves pages, ``/exmail/client.js``, and connections that wait for the test's word.

    ``pages``: path → HTML; ``policy``: their Content-Security-Policy. ``portal``: something in between answers every
    connection with a page of its own. ``pings_every_ms``: tabs may share a connection, and their worker pings them so
    often and waits ``answers_due_ms`` for what it asks them; ``session``: whose cookie it is then, and ``tickets`` how
    often that was asked, answered when it ``gives_tickets``. ``asked``: what else was asked for, and the cookie that
    came along.
    """

    def __init__(self) -> None:
        self.url = ""
        self.pages = {"/": PAGE}
        self.policy = ""
        self.opened: asyncio.Queue[Connection] = asyncio.Queue()
        self.refused: list[str] = []
        self.refuse_websocket = False
        self.portal = False
        self.pings_every_ms: int | None = None
        self.answers_due_ms = 20_000
        self.session: str | None = "of bob"
        self.tickets = 0
        self.gives_tickets = asyncio.Event()
        self.gives_tickets.set()
        self.logout_status = 204
        self.asked: list[tuple[str, str, str | None]] = []

    async def listen(self, runner: web.AppRunner, port: int = 0) -> None:
        """Begin to accept, on a port that nobody else is given while it is away."""
        self._runner = runner
        self._site = web.TCPSite(runner, "127.0.0.1", port or free_port(), reuse_address=True)
        await self._site.start()
        self.url = "http://{}:{}/".format(*runner.addresses[0][:2])

    async def go_away(self) -> None:
        """Refuse every new connection, as where there is no network."""
        await self._site.stop()

    async def come_back(self) -> None:
        """Accept again, at the same address; nothing where it never went."""
        if self._site not in self._runner.sites:
            await self.listen(self._runner, int(self.url.rstrip("/").rpartition(":")[2]))

    async def connection(self) -> Connection:
        """The next connection that the browser opens."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.opened.get()

    def mount(self, app: web.Application) -> None:
        for path in ("/exmail/client.js", "/exmail/client.worker.js", "/exmail/client.mjs", "/assets/app.js"):
            app.router.add_get(path, self._script)
        app.router.add_get("/exmail/ws", self._ws)
        app.router.add_get("/exmail/events", self._events)
        app.router.add_get("/favicon.ico", self._nothing)
        app.router.add_post("/exmail/logout", self._logout)
        app.router.add_post("/exmail/ticket", self._ticket)
        app.router.add_static("/libraries", LIBRARIES)
        app.router.add_get("/{path:.*}", self._page)

    async def _page(self, request: web.Request) -> web.Response:
        if request.path not in self.pages:
            self._note(request)
        headers = {"Content-Security-Policy": self.policy} if self.policy else {}
        return web.Response(text=self.pages.get(request.path, ""), content_type="text/html", headers=headers)

    async def _logout(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=self.logout_status)

    def _note(self, request: web.Request) -> None:
        self.asked.append((request.method, request.path_qs, request.headers.get("Cookie")))

    def _refused(self, request: web.Request) -> web.Response:
        self.refused.append(request.path)
        if self.portal:
            return web.Response(text="<title>Please pay</title>", content_type="text/html")
        return web.Response(status=403)

    async def _script(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        script = SCRIPTS.get(name, SCRIPTS["client.js"])
        if name == "client.worker.js":
            if self.pings_every_ms is None:
                raise web.HTTPNotFound
            script = read_scripts(PING_MS=self.pings_every_ms, ANSWER_DUE_MS=self.answers_due_ms)[name]
        return web.Response(body=script.body, content_type=script.content_type)

    async def _ticket(self, request: web.Request) -> web.Response:
        self.tickets += 1
        await self.gives_tickets.wait()
        if self.session is None:
            return web.Response(status=401)
        return web.json_response({"ticket": "a-ticket", "expires_in": 30, "session": self.session})

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_websocket or self.portal:
            return self._refused(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)

        async def close(code: int) -> None:
            await socket.close(code=code, message=b"told so")

        def abort() -> None:
            assert request.transport is not None
            request.transport.abort()

        connection = Connection(request, socket.send_str, close, abort)
        self.opened.put_nowait(connection)
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        connection.left.set()
        return socket

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self.portal:
            return self._refused(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(text: str) -> None:
            await response.write(f"data: {text}\n\n".encode())

        async def close(code: int) -> None:
            await response.write_eof()

        def abort() -> None:
            assert request.transport is not None
            request.transport.abort()

        connection = Connection(request, send, close, abort)
        self.opened.put_nowait(connection)
        try:
            await connection.done.wait()
        finally:
            connection.left.set()
        return response


@asynccontextmanager
async def scripted_edge() -> AsyncIterator[ScriptedEdge]:
    """A running one."""
    edge = ScriptedEdge()
    app = web.Application()
    edge.mount(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await edge.listen(runner)
    yield edge
    await runner.cleanup()
