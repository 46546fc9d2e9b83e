"""The port that browsers, or the proxy, connect to."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, hdrs, web
from yarl import URL

from bridge.events import to_json
from bridge.obs.acceptor import Acceptor, Door
from bridge.obs.port import take_port
from bridge.obs.unreadable import HARD, in_our_words
from bridge.settings import Address

_LARGEST_BODY: Final = 65_536
_CONTINUE: Final = "100-continue"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def bind(address: Address) -> socket.socket:
    """Bind the public port, without listening: until Redis answers, a proxy should be refused and not kept waiting.

    Raises:
        OSError: it is in use, or not ours to open; the text names the address.
    """
    return await take_port(address.host, address.port)


def url_of(sock: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def route_below(public_url: str) -> str:
    """The path of the public URL, quoted for aiohttp's router so that it matches this path only.

    The router compares with decoded paths, and treats braces as patterns.
    """
    path = URL(public_url).path_safe.rstrip("/")
    if re.fullmatch(r"[A-Za-z0-9/._~-]*", path):
        return path
    literal = re.escape(path[1:]).replace(r"\{", r"\x7b").replace(r"\}", r"\x7d")
    return f"/{{below:{literal}}}"


def cookie_path(public_url: str) -> str:
    """The path of our cookie: the path of the public URL as browsers write it, with a slash at its end."""
    written = urlsplit(public_url).path
    return f"{written if re.fullmatch(r'[!-~]*', written) else URL(public_url).raw_path}".rstrip("/") + "/"


@asynccontextmanager
async def serving(
    sock: socket.socket,
    *surfaces: Callable[[web.Application], None],
    request_timeout_s: float,
    shutdown_s: float,
    door: Door | None = None,
) -> AsyncIterator[Acceptor]:
    """aiohttp on a bound socket; the caller starts the acceptor when everything is ready.

    A connection has ``request_timeout_s`` to send each complete request head, and as long to take an answer. A body
    that is not read gets as long too, but at most ten seconds; bodies are not decompressed. At the end, open
    connections have ``shutdown_s``. ``door`` may take sockets before aiohttp does.
    """
    app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_refuse_in_json])
    app.on_response_prepare.append(_harden)
    for add_routes in surfaces:
        add_routes(app)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=shutdown_s,
        keepalive_timeout=request_timeout_s,
        lingering_time=min(10.0, request_timeout_s),
        auto_decompress=False,
    )
    await runner.setup()
    server = runner.server
    assert server is not None
    server.request_handler = _expecting_nothing(server.request_handler)
    acceptor = Acceptor(sock, lambda: in_our_words(server()), patience_s=request_timeout_s, door=door)
    try:
        yield acceptor
    finally:
        await acceptor.stop()
        acceptor.hang_up()
        async with asyncio.TaskGroup() as ending:
            if door is not None:
                ending.create_task(door.close(shutdown_s), name="end of handshakes")
            ending.create_task(runner.cleanup(), name="end of requests")
        acceptor.close()


def _expecting_nothing(handler: Handler) -> Handler:
    """Refuse an unknown ``Expect`` before aiohttp does, which fails if the value is not text."""

    async def expecting_nothing(request: web.BaseRequest) -> web.StreamResponse:
        if request.version < HttpVersion10:
            # A damaged request line can look like that, and the answer would be in the same version: no client has it.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=400)
        if request.headers.get(hdrs.EXPECT, _CONTINUE).lower() == _CONTINUE:
            return await handler(request)
        response = _refusal(417, "Expectation Failed: only 100-continue is known")
        await _harden(request, response)
        return response

    return expecting_nothing


def _refusal(status: int, message: str) -> web.Response:
    return web.Response(
        body=to_json({"error": "request", "message": message}),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@web.middleware
async def _refuse_in_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer what aiohttp refuses by itself (unknown path or method) in the form of all other refusals."""
    try:
        return await handler(request)
    except web.HTTPException as refused:
        response = _refusal(refused.status, f"{refused.reason}: {request.method} of this path is not answered here")
        if hdrs.ALLOW in refused.headers:
            response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
        return response


async def _harden(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Make browsers rely on the content type of every answer, and show none inside another page."""
    response.headers.update(HARD)
