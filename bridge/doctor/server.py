"""Redis: whether each program is let in, and whether the server is set up for keeping what it is given."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import suppress
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
    JournalMoved,
    JournalRefused,
    JournalSpoilt,
    NotAdmitted,
    NotLetIn,
    TakesNoWrites,
)
from bridge.journal.keys import Keys
from bridge.journal.overview import Kept, Server, kept_by, server_of
from bridge.settings import Settings
from bridge.sizing.memory import SHARE_OF_MACHINE, still_to_come

_MIB: Final = 1024 * 1024
_LEAST: Final = {"Redis": (7, 0), "Valkey": (7, 2)}


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    if not means.units:
        raise NotJudged("program-left-out", program="worker / edge / signon")
    seen: Server | None = None
    kept: Kept | None = None
    for program, settings in means.units.items():
        redis = redis_address(settings).client(timeout_s=5.0)
        try:
            await checks_of_the_start(settings, redis, program)
            seen = seen or await server_of(redis)
            kept = kept or await kept_by(redis, Keys(settings.namespace))
            others = await Databases(redis, Keys(settings.namespace)).led_elsewhere()
            if others and program == "worker":
                yield found("redis-two-bridges", namespace=settings.namespace, database=", ".join(map(str, others)))
        except (TakesNoWrites, JournalMoved) as error:
            # It answers what is asked, and what it says of itself may be the reason.
            with suppress(JournalError):
                seen = seen or await server_of(redis)
            if isinstance(error, TakesNoWrites) or seen is None or seen.role == "master":
                yield _fault(program, settings, error)
        except JournalError as error:
            yield _fault(program, settings, error)
        finally:
            await redis.aclose()
    if seen is not None:
        settings = means.of("worker", "edge", "signon")
        growth = still_to_come(
            events=kept.events if kept else 0,
            accounts=kept.accounts if kept else 0,
            events_max=settings.events.max,
            history_events=settings.history.events,
        )
        for finding in judged(seen, growth=growth, events_max=settings.events.max):
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


def judged(server: Server, *, growth: int, events_max: int) -> list[Finding]:
    """What is wrong with a server. ``growth``: by how many bytes it will grow until it keeps ``events_max``."""
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
    forecast = server.memory + growth
    most = server.memory_most or int(server.memory_there * SHARE_OF_MACHINE)
    if most and forecast > most:
        findings.append(found("redis-memory", server=name, need=_mib(forecast), have=_mib(most), events=events_max))
    return findings


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


CHECK: Final = Check("redis", _ask)
