"""The edge: one process, or the child of a parent that bound the port."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from bridge import __version__
from bridge.app.parts import build_reader, ended, redis_accepted, redis_address, until_stopped
from bridge.edge import codes
from bridge.edge.access import Access, Verifier
from bridge.edge.audience import Audience
from bridge.edge.feed import Feed, Pace
from bridge.edge.jwks import JwksVerifier
from bridge.edge.jwt import SecretVerifier
from bridge.edge.origins import Origins
from bridge.edge.presence import Presence
from bridge.edge.server import EdgeServer
from bridge.journal.keys import Keys
from bridge.journal.reader import Reader
from bridge.obs.admin import Admin
from bridge.obs.metrics import Metrics
from bridge.settings import Address, Settings
from bridge.supervision import Shutdown, StartRefused

log = logging.getLogger(__name__)

LISTEN_BACKLOG = 4096


def bind(address: Address) -> socket.socket:
    """Take the public port.

    Raises:
        OSError: it is in use, or not ours to open; the text names the address.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound, not listening yet: until Redis answers, a proxy should be refused, not kept waiting.
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


async def run_edge(settings: Settings, workers: int) -> None:
    """Run the edge until SIGTERM or Ctrl-C."""
    with Shutdown() as shutdown:
        if workers > 1:
            # Imported here: that file builds on this one.
            from bridge.app.processes import serve_processes

            await serve_processes(settings, workers, shutdown.event)
        else:
            metrics = Metrics(version=__version__, worker=False)
            await serve_edge(settings, metrics, shutdown.event, sock=None, admin=True)


async def serve_edge(
    settings: Settings,
    metrics: Metrics,
    stop: asyncio.Event,
    *,
    sock: socket.socket | None,
    admin: bool,
    add_routes: Callable[[web.Application], None] | None = None,
    ready: Callable[[str], None] | None = None,
    tell_health: Callable[[Callable[[], str | None], Admin], None] | None = None,
    pace: Pace | None = None,
) -> None:
    """Serve browsers until ``stop``.

    ``sock`` is a listening socket that was inherited; without one the address of the settings is bound.
    ``add_routes`` adds to the surface (``dev``); ``ready`` is told the URL when connections are accepted; ``pace``
    says how often the feed looks after itself.

    Shutdown: stop accepting, say so on ``/readyz``, close every connection with 3001, exit.
    """
    sock = sock or bind(settings.edge.listen)
    redis = redis_address(settings).client()
    keys = Keys(settings.namespace)
    reader = build_reader(settings, redis)
    audience = Audience(metrics)
    feed = Feed(
        address=redis_address(settings), keys=keys, reader=reader, audience=audience, metrics=metrics, pace=pace
    )

    def health() -> str | None:
        return "shutting down" if audience.closing else feed.ready()

    port = Admin(
        metrics=metrics,
        host=settings.edge.admin_listen.host,
        port=settings.edge.admin_listen.port,
        alive=lambda: None,
        ready=health,
    )
    try:
        if admin:
            await port.start()
        if tell_health is not None:
            tell_health(health, port)
        if not await redis_accepted(reader, stop):
            return
        async with _verifier(settings) as verifier:
            server = _server(settings, feed, audience, reader, verifier, metrics)

            async def run() -> None:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(feed.run(), name="feed")
                    tasks.create_task(audience.run(), name="audience")
                    tasks.create_task(Presence(reader, feed).run(), name="presence")
                    tasks.create_task(serve(), name="serve")

            async def serve() -> None:
                await feed.connected.wait()
                await web.SockSite(runner, sock, backlog=LISTEN_BACKLOG).start()
                if ready is not None:
                    ready(_url(sock))

            runner = await _runner(server, add_routes)
            try:
                task = await until_stopped(run, stop, name="edge")
                for site in list(runner.sites):
                    await site.stop()
                audience.end_all(codes.SHUTTING_DOWN)
                await ended(task)
            finally:
                await runner.cleanup()
    finally:
        sock.close()
        await port.stop()
        await redis.aclose()


def _server(
    settings: Settings, feed: Feed, audience: Audience, reader: Reader, verifier: Verifier, metrics: Metrics
) -> EdgeServer:
    try:
        origins = Origins(
            public_url=settings.edge.public_url,
            allowed=settings.edge.allowed_origins,
            trusted_proxies=settings.edge.trusted_proxies,
        )
    except ValueError as error:
        raise StartRefused(f"BRIDGE_EDGE_PUBLIC_URL, BRIDGE_EDGE_ALLOWED_ORIGINS: {error}") from None
    access = Access(
        verifier=verifier,
        tickets=reader,
        cookie_name=settings.edge.cookie,
        claim=settings.edge.jwt_claim,
    )
    return EdgeServer(
        feed=feed,
        audience=audience,
        access=access,
        origins=origins,
        reader=reader,
        metrics=metrics,
        prefix=urlsplit(settings.edge.public_url).path,
    )


async def _runner(server: EdgeServer, add_routes: Callable[[web.Application], None] | None) -> web.AppRunner:
    app = web.Application(client_max_size=65_536)
    server.mount(app)
    if add_routes is not None:
        add_routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
    await runner.setup()
    return runner


@asynccontextmanager
async def _verifier(settings: Settings) -> AsyncIterator[Verifier]:
    edge = settings.edge
    if edge.jwks_url:
        async with aiohttp.ClientSession(trust_env=True) as session:
            verifier = JwksVerifier(
                edge.jwks_url, session=session, audience=edge.jwt_audience or None, issuer=edge.jwt_issuer or None
            )
            async with verifier:
                yield verifier
    else:
        try:
            secret = SecretVerifier(
                edge.jwt_secrets, audience=edge.jwt_audience or None, issuer=edge.jwt_issuer or None
            )
        except ValueError as error:
            raise StartRefused(f"BRIDGE_EDGE_JWT_SECRET: {error}") from None
        yield secret


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
