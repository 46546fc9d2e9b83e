"""Sign-on: mounted into the edge, or a process of its own, so that an edge need not have the provider's secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from redis.asyncio import Redis

from bridge import __version__
from bridge.access.access import Access
from bridge.access.origins import Origins
from bridge.app.doors import (
    build_access,
    build_keyring,
    build_origins,
    follow,
    running_office,
    running_verifier,
    trusted_by,
)
from bridge.app.parts import RedisHealth, build_reader, ended, redis_accepted, redis_address, until_stopped
from bridge.app.provider import accept_corporation, corporation_of, running_client
from bridge.app.public_port import bind, route_below, serving, url_of
from bridge.app.reloading import on_hangup
from bridge.journal.clicks import Clicks
from bridge.journal.keys import Keys
from bridge.journal.standing import Standings
from bridge.obs.admin import Admin
from bridge.obs.metrics import Metrics
from bridge.obs.systemd import Notices, Watched
from bridge.provider.bizmail.ports import BizMailLogin
from bridge.settings import Present, Settings
from bridge.signon.closed import Closed
from bridge.signon.door import Door
from bridge.signon.signon import SignOn
from bridge.supervision import Shutdown

SCOPE = "open"

AddRoutes = Callable[[web.Application], None]


async def run_signon(present: Present) -> None:
    """Run sign-on alone until SIGTERM or Ctrl-C."""
    metrics = Metrics(namespace=present.settings.namespace, version=__version__, worker=False, edge=False, signon=True)
    watched = Watched()
    with Shutdown(reload=on_hangup(present, watched)) as shutdown:
        async with watched.attend(shutdown.event):
            await serve_signon(present, metrics, shutdown.event, admin=True, watched=watched)


async def serve_signon(
    settings: Settings | Present,
    metrics: Metrics,
    stop: asyncio.Event,
    *,
    admin: bool,
    ready: Callable[[str], None] | None = None,
    watched: Watched | None = None,
) -> None:
    """Serve clicks until ``stop``; ``ready`` is called with the URL when connections are accepted, ``watched`` is told
    how it is.

    Shutdown: stop accepting, finish the clicks that are under way, exit.
    """
    present = Present.of(settings)
    settings = present.settings
    sock = await bind(settings.signon.listen)
    address = redis_address(settings)
    redis = address.client()
    reader = build_reader(settings, redis)
    watched = watched or Watched(Notices({}))
    health = RedisHealth(reader, metrics, beat=watched.beat)

    def note() -> str | None:
        # People get a page that explains it; without this process the proxy would show an error.
        return None if (why := health.writable()) is None else f"clicks are refused: {why.text}"

    port = Admin(
        metrics=metrics,
        host=settings.signon.admin_listen.host,
        port=settings.signon.admin_listen.port,
        alive=lambda: None,
        ready=health.reachable,
        note=note,
    )
    try:
        if admin:
            await port.start()
        watched.up(health.reachable, note)
        if not await redis_accepted(
            reader, stop, standings=Standings(redis, Keys(settings.namespace)), beat=watched.beat
        ):
            return
        keyring = build_keyring(settings)
        async with running_verifier(settings, keyring) as verifier, running_office(settings, metrics) as office:
            access = build_access(present, verifier, reader, office)
            async with signon_routes(present, redis, access, build_origins(present), metrics) as add_routes:

                async def run() -> None:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(address.watch(), name="redis whereabouts")
                        tasks.create_task(health.watch(), name="redis health")
                        if keyring is not None:
                            tasks.create_task(follow(keyring, present), name="secrets of tokens")

                timeout_s = settings.edge.request_timeout_s
                async with serving(sock, add_routes, request_timeout_s=timeout_s, shutdown_s=5.0) as acceptor:
                    if acceptor.start() and ready is not None:
                        ready(url_of(sock))
                    await ended(await until_stopped(run, stop, name="redis health"))
    finally:
        sock.close()
        await port.stop()
        await redis.aclose()


@asynccontextmanager
async def signon_routes(
    present: Present, redis: Redis, access: Access, origins: Origins, metrics: Metrics
) -> AsyncIterator[AddRoutes]:
    """A function that adds ``/mail/open``, at the root and below the public URL's path; valid until the block ends."""
    settings = present.settings
    prefix = route_below(settings.edge.public_url)
    if settings.signon.mode == "off":
        yield Closed("BRIDGE_SIGNON is off").mounted_at(prefix)
        return
    if not settings.provider.client_id or not settings.provider.client_secret:
        why = "this process has no BRIDGE_PROVIDER_CLIENT_ID and BRIDGE_PROVIDER_CLIENT_SECRET"
        yield Closed(why).mounted_at(prefix)
        return
    keys = Keys(settings.namespace)
    await accept_corporation(redis, keys, corporation_of(settings))
    async with running_client(settings, redis, metrics) as client:
        signon = SignOn(
            door=Door(access, origins, Standings(redis, keys), kick_s=settings.edge.kick_s),
            login=BizMailLogin(client),
            ledger=Clicks(redis, keys, audit_max=settings.audit.max, audit_s=settings.audit.seconds),
            metrics=metrics,
            login_page=f"{settings.provider.auth_url}/",
            scope=SCOPE if settings.signon.mode == "scope" else None,
            clicks_a_minute=lambda: present.settings.signon.rate,
            trusted_proxies=trusted_by(present),
        )

        def add_routes(app: web.Application) -> None:
            signon.mount(app, prefix)

        yield add_routes
