"""A stage for tests of the edge: a real Valkey, a writer that leads, and an edge on a real port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import jwt as pyjwt
from aiohttp import web
from redis.asyncio import Redis

from bridge.app.edge import serve_edge
from bridge.edge.feed import Pace
from bridge.events import MAIL_NEW, MAIL_UNREAD, Event, build_event
from bridge.journal.calls import RecordCount, RecordMail, Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.keys import Keys
from bridge.journal.sharded import Sharded
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.settings import load_settings
from tests.support.browser_side import OPENERS
from tests.support.waiting import PATIENCE_S

SECRET = "a-secret-for-tests-of-32-bytes-or-more"
BOB = "bob@gzdev.com"
ANN = "ann@gzdev.com"
KEYS = Keys("exmail")
LEASE_S = 3600.0
"""Of a writer that nobody renews: no test takes so long."""
QUICK = Pace(probe_s=0.1, deaf_s=60, tops_s=0.1, reconnect_s=0.02)
"""An edge that looks for what it lost at once. Deaf is long: where it is not the matter, a process may stand still."""
NO_SWEEP = replace(QUICK, tops_s=3600)


def token(mailbox: str = BOB, *, life_s: float = 600, **claims: Any) -> str:
    """A token as an OA's back end signs it."""
    return pyjwt.encode({"sub": mailbox, "exp": int(time.time() + life_s), **claims}, SECRET, "HS256")


def bearer(mailbox: str = BOB, **claims: Any) -> dict[str, str]:
    """The header, as keyword arguments of the clients."""
    return {"Authorization": f"Bearer {token(mailbox, **claims)}"}


async def let_in(url: str, transport: str = "websocket", query: str = "", *, mailbox: str = BOB, **headers: str) -> Any:
    """A client who has been told his snapshot; he comes again while he is told to come later, as browsers do."""
    while True:
        path = {"websocket": "/ws", "sse": "/events"}[transport] + query
        client = await OPENERS[transport](url, path, **(bearer(mailbox) | headers))
        frame = await client.frame()
        if frame.type == "exmail.snapshot":
            return client
        assert frame.data["data"]["code"] == 3013, frame.data
        client.drop()


def mail(mail_id: str, unread: int = 1, mailbox: str = BOB, *, subject: str = "你好") -> RecordMail:
    data = {"mailbox": mailbox, "mail_id": mail_id, "mail_subject": subject, "unread": unread}
    return RecordMail(_event(mailbox, MAIL_NEW, data), mail_id, unread, count(unread, mailbox).event)


def count(unread: int, mailbox: str = BOB) -> RecordCount:
    data = {"mailbox": mailbox, "reason": "push", "unread": unread}
    return RecordCount(_event(mailbox, MAIL_UNREAD, data), unread)


def _event(mailbox: str, type: str, data: dict[str, Any]) -> Event:
    return build_event(namespace="exmail", stream=mailbox, type=type, time_s=time.time(), data=data, stamped=True)


@asynccontextmanager
async def running_edge(
    redis_url: str,
    pace: Pace | None = None,
    *,
    tell_health: Callable[[Callable[[], Unready | None]], None] = lambda health: None,
    add_routes: Callable[[web.Application], None] | None = None,
    **environ: str,
) -> AsyncIterator[tuple[str, Metrics]]:
    """Serve an edge on a free port; yield its URL and metrics. ``tell_health`` is given what ``/readyz`` asks."""
    settings = load_settings(
        {
            "BRIDGE_REDIS_URL": redis_url,
            "BRIDGE_EDGE_JWT_SECRET": SECRET,
            "BRIDGE_EDGE_LISTEN": "127.0.0.1:0",
            "BRIDGE_EDGE_DRAIN": "0",
            **environ,
        },
        None,
    )
    metrics = Metrics(version="test")
    stop = asyncio.Event()
    serving: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve_edge(
            settings,
            metrics,
            stop,
            sock=None,
            admin=False,
            add_routes=add_routes,
            ready=serving.set_result,
            tell_health=lambda health, admin: tell_health(health),
            pace=pace,
        ),
        name="edge",
    )
    await asyncio.wait([task, serving], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield serving.result(), metrics
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


class LossyKeys(Keys):
    """Names under which everything is kept and, while somebody ``loses``, nothing is heard: pub/sub loses messages."""

    def __init__(self, namespace: str, sharded: Sharded) -> None:
        super().__init__(namespace, sharded)
        # The names are frozen; this is not one.
        object.__setattr__(self, "loses", asyncio.Event())

    loses: asyncio.Event

    def mailbox_channel(self, mailbox: str, *, sharded: bool = False) -> str:
        return self._heard(Keys.mailbox_channel(self, mailbox, sharded=sharded), sharded=sharded)

    def kind_channel(self, kind: str) -> str:
        return self._heard(Keys.kind_channel(self, kind))

    def _heard(self, channel: str, *, sharded: bool = False) -> str:
        return f"{self._place(sharded)}:nobody" if self.loses.is_set() else channel


_published: list[Sharded] = ["off"]


@contextmanager
def publishing(sharded: Sharded) -> Iterator[None]:
    """How the stage's writers publish that are made inside, unless they are told."""
    _published.append(sharded)
    try:
        yield
    finally:
        _published.pop()


class StageWriter(Writer):
    """A writer whose messages can be lost."""

    def __init__(self, redis: Redis, sharded: Sharded | None = None) -> None:
        self.names = LossyKeys("exmail", sharded or _published[-1])
        super().__init__(redis, self.names, lease_s=LEASE_S, retention=Retention())


@asynccontextmanager
async def lost_messages(writer: StageWriter) -> AsyncIterator[None]:
    """What is committed inside is published where no edge listens."""
    writer.names.loses.set()
    try:
        yield
    finally:
        writer.names.loses.clear()


@asynccontextmanager
async def leading_writer(redis_url: str, sharded: Sharded | None = None) -> AsyncIterator[tuple[StageWriter, Redis]]:
    """A writer with the lease, and its client."""
    redis = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    writer = StageWriter(redis, sharded)
    assert await writer.claim() is not None
    try:
        yield writer, redis
    finally:
        await redis.aclose()
