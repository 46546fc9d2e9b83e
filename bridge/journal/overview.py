"""What the journal as a whole holds, for one look at everything. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from bridge.events import time_of
from bridge.journal.client import number_in, typed
from bridge.journal.errors import NotLetIn, translated
from bridge.journal.held import read_held
from bridge.journal.keys import Keys
from bridge.journal.opened import UpstreamStatus, read_upstream

_NAMES: Final = {"valkey": "Valkey", "redis": "Redis"}


@dataclass(frozen=True, slots=True)
class Server:
    """The Redis that answered. Memory in bytes; ``memory_most`` 0: no limit is set; ``memory_there``: what the machine
    has, 0 where it does not say.

    ``saved``: whether the last attempt to write to its disk worked.
    """

    name: str
    version: str
    role: str
    memory: int
    memory_most: int
    memory_there: int
    eviction: str
    append_only: bool
    saved: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """How many ``events`` the stream of all events has, and how many ``accounts`` the mirror."""

    events: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Times in epoch ms, ``now`` and all others by Redis's clock.

    ``fence``: of who holds the lease, ``None`` if nobody does; ``lease_ms``: for how long it still is his.
    ``standbys``: workers that stand by. ``held``: deletions that wait for somebody to decide, ``None`` if what is
    stored cannot be read. ``online``: mailboxes with an open browser. ``newest``: when the last event was published.
    """

    now: int
    fence: int | None
    lease_ms: int
    standbys: int
    generation: int | None
    ver: str | None
    accounts: int
    barred: int
    held: int | None
    owed: int
    dead: int
    online: int
    events: int
    newest: int | None
    upstream: UpstreamStatus
    server: Server


async def overview(redis: Redis, keys: Keys) -> Overview:
    """Look at everything once.

    Raises:
        JournalAway, JournalRefused, JournalSpoilt
    """
    client = typed(redis)
    with translated():
        seconds, micros = await client.time()
        pipeline = client.pipeline(transaction=False)
        pipeline.get(keys.lease)
        pipeline.pttl(keys.lease)
        pipeline.get(keys.generation)
        pipeline.get(keys.ver)
        pipeline.hlen(keys.directory)
        pipeline.scard(keys.barred)
        pipeline.get(keys.held)
        pipeline.hlen(keys.owed)
        pipeline.xlen(keys.dead)
        pipeline.zcount(keys.online, int(seconds), "+inf")
        pipeline.xlen(keys.events)
        pipeline.hmget(keys.upstream, "state", "since", "why")
        pipeline.xrevrange(keys.events, count=1)
        pipeline.zcount(keys.standbys, int(seconds), "+inf")
        lease, lease_ms, generation, ver, accounts, barred, held, *rest = await pipeline.execute()
        owed, dead, online, events, upstream, newest, standbys = rest
        server = await server_of(redis)
    return Overview(
        now=int(seconds) * 1000 + int(micros) // 1000,
        fence=_fence(lease),
        lease_ms=max(0, int(lease_ms)),
        standbys=standbys,
        generation=None if generation is None else int(generation),
        ver=None if ver is None else ver.decode(errors="replace"),
        accounts=accounts,
        barred=barred,
        held=_held(held),
        owed=owed,
        dead=dead,
        online=online,
        events=events,
        newest=_published(newest),
        upstream=read_upstream(lease is not None, *upstream),
        server=server,
    )


async def server_of(redis: Redis) -> Server:
    """What the server says of itself.

    Raises:
        JournalAway, JournalRefused
    """
    with translated():
        return _server(await typed(redis).info("server", "memory", "persistence", "replication"))


async def kept_by(redis: Redis, keys: Keys) -> Kept | None:
    """How much there is; ``None`` if our user may not look.

    Raises:
        JournalAway, JournalRefused
    """
    client = typed(redis)
    try:
        with translated():
            return Kept(await client.xlen(keys.events), await client.hlen(keys.directory))
    except NotLetIn:
        return None


def _fence(lease: bytes | None) -> int | None:
    number = (lease or b"").partition(b":")[0]
    return int(number) if number.isdigit() else None


def _held(text: bytes | None) -> int | None:
    try:
        return 0 if text is None else len(read_held(text).aliases)
    except ValueError:
        return None


def _published(newest: list[tuple[bytes, Mapping[bytes, bytes]]]) -> int | None:
    at_s = time_of(newest[0][1].get(b"event", b"")) if newest else None
    return None if at_s is None else int(at_s * 1000)


def _server(found: Mapping[str, Any]) -> Server:
    name = str(found.get("server_name", "redis"))
    version = found.get("valkey_version", found.get("redis_version", "?"))
    return Server(
        name=_NAMES.get(name, name),
        version=str(version),
        role=str(found.get("role", "?")),
        memory=number_in(found, "used_memory"),
        memory_most=number_in(found, "maxmemory"),
        memory_there=number_in(found, "total_system_memory"),
        eviction=str(found.get("maxmemory_policy", "?")),
        append_only=number_in(found, "aof_enabled") != 0,
        saved="err" not in (found.get("aof_last_write_status"), found.get("rdb_last_bgsave_status")),
    )
