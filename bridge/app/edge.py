"""One edge process: the only one, or the child of a parent that bound the port."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

from aiohttp import web

from bridge import __version__
from bridge.access import codes
from bridge.access.keyring import Keyring
from bridge.app.doors import (
    build_access,
    build_keyring,
    build_origins,
    follow,
    limits_of,
    running_office,
    running_verifier,
    trusted_by,
)
from bridge.app.parts import build_reader, ended, process_name, redis_accepted, redis_address, until_stopped
from bridge.app.public_port import bind, cookie_path, route_below, serving, url_of
from bridge.app.signon import signon_routes
from bridge.edge.admission import Admission
from bridge.edge.canary import Passes
from bridge.edge.contracts import Contracts
from bridge.edge.doorway import Doorway
from bridge.edge.drain import drain
from bridge.edge.endings import Endings
from bridge.edge.entrance import Entrance
from bridge.edge.feed import Feed, Pace
from bridge.edge.hub import Hub
from bridge.edge.places import Places
from bridge.edge.presence import Presence
from bridge.edge.reception import Reception
from bridge.edge.recollection import Recollection
from bridge.edge.renewal import Renewal
from bridge.edge.rounds import Rounds
from bridge.edge.server import EdgeServer
from bridge.edge.witness import Witness
from bridge.journal.clock import SharedClock, redis_now_us
from bridge.journal.errors import JournalError
from bridge.journal.inquiry import Inquiries
from bridge.journal.keys import Keys
from bridge.journal.reports import Reports
from bridge.journal.standing import Standings
from bridge.obs.admin import Admin
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.settings import Present, Settings

log = logging.getLogger(__name__)


async def serve_edge(
    settings: Settings | Present,
    metrics: Metrics,
    stop: asyncio.Event,
    *,
    sock: socket.socket | None,
    admin: bool,
    add_routes: Callable[[web.Application], None] | None = None,
    ready: Callable[[str], None] | None = None,
    tell_health: Callable[[Callable[[], Unready | None], Admin], None] | None = None,
    pace: Pace | None = None,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Serve browsers until ``stop``.

    ``sock`` is a listening socket that was inherited; without one the address of the settings is bound.
    ``add_routes`` adds further routes (``dev``). ``ready`` is called with the URL when connections are accepted.
    ``pace`` has the intervals of the feed. ``beat`` is called as long as it goes on.

    Shutdown: say so on ``/readyz``, wait for balancers to hear it, stop accepting, send every connection away with
    3001, one after the other, exit.
    """
    present = Present.of(settings)
    settings = present.settings
    sock = sock or await bind(settings.edge.listen)
    address = redis_address(settings)
    redis = address.client()
    keys = Keys(settings.namespace)
    clock = SharedClock(partial(redis_now_us, redis), wall=time.time)
    reader = build_reader(settings, redis, wall=clock)
    standings = Standings(redis, keys)
    hub = Hub(metrics, life_s=lambda: present.settings.edge.max_life_s, ticked=beat)
    keyring = build_keyring(settings)
    kick_s = settings.edge.kick_s
    name = process_name()
    recollection = Recollection()
    passes = Passes(reader)
    rounds = Rounds(standings, hub, window_s=kick_s, believes=keyring.believes if keyring else _anybody)
    feed = Feed(
        address=address,
        keys=keys,
        reader=reader,
        standings=standings,
        rounds=rounds,
        reports=Reports(redis, keys),
        name=name,
        recollection=recollection,
        asked=Witness(name, __version__, hub, recollection, Inquiries(redis, keys), passes).asked,
        hub=hub,
        metrics=metrics,
        pace=pace,
        redis_clock=clock,
    )

    def health() -> Unready | None:
        return Unready("closing", "shutting down") if stop.is_set() else feed.ready()

    port = Admin(
        metrics=metrics,
        host=settings.edge.admin_listen.host,
        port=settings.edge.admin_listen.port,
        alive=lambda: None,
        ready=health,
        note=feed.news.note,
    )
    try:
        if admin:
            await port.start()
        if tell_health is not None:
            tell_health(health, port)
        if not await redis_accepted(reader, stop, standings=standings, beat=beat):
            return
        with suppress(JournalError):
            await clock.look()
        async with AsyncExitStack() as stack:
            office = await stack.enter_async_context(running_office(settings, metrics))
            verifier = await stack.enter_async_context(running_verifier(settings, keyring))
            access = build_access(present, verifier, reader, office)
            origins = build_origins(present)
            reception = Reception(access=access, origins=origins, metrics=metrics)
            prefix = route_below(settings.edge.public_url)
            endings = Endings(
                access=access,
                reception=reception,
                standings=standings,
                kick_s=kick_s,
                cookie=settings.edge.cookie,
                cookie_path=cookie_path(settings.edge.public_url),
                prefix=prefix,
            )
            places = Places(present.following(limits_of), now=hub.now)
            # An operator's pass to the reserved stream opens connections, and nothing else.
            admitting = build_access(settings, verifier, passes, office)
            entrance = Entrance(
                feed=feed,
                hub=hub,
                admission=Admission(feed=feed, access=admitting, places=places, reception=reception, window_s=kick_s),
                origins=origins,
                reception=reception,
                metrics=metrics,
                places=places,
                trusted_proxies=trusted_by(present),
            )
            server = EdgeServer(
                entrance=entrance,
                access=access,
                reception=reception,
                reader=reader,
                standings=standings,
                kick_s=kick_s,
                prefix=prefix,
            )
            contracts = Contracts(
                namespace=settings.namespace,
                public_url=settings.edge.public_url,
                cookie=settings.edge.cookie,
                prefix=prefix,
            )
            signon = await stack.enter_async_context(signon_routes(present, redis, access, origins, metrics))

            async def run() -> None:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(address.watch(), name="redis whereabouts")
                    tasks.create_task(feed.run(), name="feed")
                    tasks.create_task(hub.run(), name="hub")
                    tasks.create_task(Presence(reader, feed).run(), name="presence")
                    if keyring is not None:
                        tasks.create_task(follow(keyring, present), name="secrets of tokens")
                        tasks.create_task(_look_round(keyring, rounds), name="tokens without a secret")
                    if office is not None:
                        tasks.create_task(Renewal(hub, office).run(), name="renewal")
                    tasks.create_task(serve(), name="serve")

            async def serve() -> None:
                await feed.connected.wait()
                # Redis may have answered only after we were told to stop.
                if acceptor.start() and ready is not None:
                    ready(url_of(sock))

            surfaces = (
                server.mount,
                endings.mount,
                contracts.mount,
                signon,
                *([add_routes] if add_routes is not None else []),
            )
            timeout_s = settings.edge.request_timeout_s
            doorway = Doorway(entrance, prefix=prefix)
            async with serving(sock, *surfaces, request_timeout_s=timeout_s, shutdown_s=1.0, door=doorway) as acceptor:
                task = await until_stopped(run, stop, name="edge")
                # Balancers that poll still send browsers for a while; these are served.
                await asyncio.sleep(present.settings.edge.drain_delay_s)
                await acceptor.stop()
                await drain(hub, over_s=present.settings.edge.drain_s, now=hub.now)
                hub.end_all(codes.SHUTTING_DOWN)
                await ended(task)
    finally:
        sock.close()
        await port.stop()
        await redis.aclose()


async def _look_round(keyring: Keyring, rounds: Rounds) -> None:
    """Whenever a secret is gone, end what it let in."""
    while True:
        await keyring.changed.wait()
        keyring.changed.clear()
        rounds.all()


def _anybody(signer: str) -> bool:
    return True
