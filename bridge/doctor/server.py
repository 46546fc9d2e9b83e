"""Redis: whether each program is let in, and whether the server is set up for keeping what it is given."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Final

from bridge.app.online import checks_of_the_start
from bridge.app.parts import redis_address
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import Finding, NotJudged, found
from bridge.doctor.means import Means, Program
from bridge.journal.databases import Databases
from bridge.journal.errors import (
    JournalAway,
    JournalError,
    JournalRefused,
    JournalSpoilt,
    NotAdmitted,
    NotLetIn,
    TakesNoWrites,
)
from bridge.journal.keys import Keys
from bridge.journal.overview import Server, events_kept, server_of
from bridge.settings import Settings

_EVENT_BYTES: Final = 920
"""What Redis needs for an event of 800 bytes: 100,000 of them are 92 MB."""
_COPIES: Final = 2
"""Each event is kept in the stream of all events, and in its mailbox's history."""
_SHARE: Final = 0.75
"""Of a machine's memory, where Redis has no limit: writing its file anew needs room for what changes meanwhile."""
_MIB: Final = 1024 * 1024
_LEAST: Final = {"Redis": (7, 0), "Valkey": (7, 2)}


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    if not means.units:
        raise NotJudged("program-left-out", program="worker / edge / signon")
    seen: Server | None = None
    events: int | None = None
    for program, settings in means.units.items():
        redis = redis_address(settings).client(timeout_s=5.0)
        try:
            await checks_of_the_start(settings, redis, program)
            seen = seen or await server_of(redis)
            events = await events_kept(redis, Keys(settings.namespace)) if events is None else events
            others = await Databases(redis, Keys(settings.namespace)).led_elsewhere()
            if others and program == "worker":
                yield found("redis-two-bridges", namespace=settings.namespace, database=", ".join(map(str, others)))
        except JournalError as error:
            yield _fault(program, settings, error)
        finally:
            await redis.aclose()
    if seen is not None:
        most = means.of("worker", "edge", "signon").events.max
        for finding in judged(seen, events_max=most, events=events or 0):
            yield finding


def _fault(program: Program, settings: Settings, error: JournalError) -> Finding:
    facts = {"program": program, "user": settings.redis.username or "default", "error": error}
    kinds: tuple[tuple[type[JournalError], str], ...] = (
        (NotAdmitted, "redis-refuses"),
        (TakesNoWrites, "redis-takes-no-writes"),
        (JournalAway, "redis-away"),
        (NotLetIn, "redis-right"),
        (JournalSpoilt, "redis-spoilt"),
        (JournalRefused, "redis-right" if "lacks a right" in str(error) else "redis-unfit"),
    )
    return found(next((code for kind, code in kinds if isinstance(error, kind)), "redis-unfit"), **facts)


def judged(server: Server, *, events_max: int, events: int) -> list[Finding]:
    """What is wrong with a server. ``events``: how many of the ``events_max`` that will be kept are there already."""
    name = f"{server.name} {server.version}"
    findings = []
    least = _LEAST.get(server.name)
    if least is not None and _numbers(server.version) < least:
        findings.append(found("redis-old", server=name, least=".".join(map(str, least))))
    if not server.append_only:
        findings.append(found("redis-forgets", server=name))
    if server.eviction not in ("noeviction", "?"):
        findings.append(found("redis-evicts", server=name, policy=server.eviction))
    if not server.saved:
        findings.append(found("redis-not-saved", server=name))
    if server.role not in ("master", "?"):
        findings.append(found("redis-replica", server=name, role=server.role))
    forecast = server.memory + max(0, events_max - events) * _EVENT_BYTES * _COPIES
    most = server.memory_most or int(server.memory_there * _SHARE)
    if most and forecast > most:
        findings.append(found("redis-memory", server=name, need=_mib(forecast), have=_mib(most), events=events_max))
    return findings


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


CHECK: Final = Check("redis", _ask)
