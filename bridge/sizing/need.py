"""What a corporation needs, each figure from what was measured. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bridge.sizing.corporation import DAY_S, Corporation
from bridge.sizing.measured import MEASURED
from bridge.sizing.memory import RedisMemory, redis_memory

CALLS_AT_ONCE: Final = 96
"""How many accounts the worker asks the provider for at a time, if it is let."""
ACCOUNT_READ_S: Final = 0.0006
"""What reading one takes of a core, on the machine of the other figures: 4,000 in a first fill."""
PER_PROCESS: Final = 10_000
"""As many connections as one edge process was measured with."""
_HOSTS: Final = 2
"""Each carries everybody, so that one may fail or be renewed."""
_SHARE_OF_CORE: Final = 0.5
_DESCRIPTORS_KEPT: Final = 2048
"""What an edge keeps free of its limit beside its browsers, at most; of a low limit a quarter."""
_OWN_DESCRIPTORS: Final = 64
"""Its connections to Redis, its ports, its libraries."""
_PACKET: Final = 120
"""Bytes on the wire around whatever is sent: headers of TCP, IP and Ethernet, a record of TLS, and the answer to it."""
_BEAT_S: Final = 25
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class RedisNeed:
    """Commands a second as INFO counts them, those of scripts included. ``busy``: when most mails come; ``storm``:
    when everybody comes back at once. ``core``: of one core, when most mails come. ``stream_s``: how far back
    the stream of all events reaches; ``None``: nothing comes."""

    memory: RedisMemory
    commands_busy: float
    commands_storm: float
    core: float
    stream_s: float | None


@dataclass(frozen=True, slots=True)
class EdgeNeed:
    """``processes`` on each of the ``hosts``; each host can carry everybody. Of one host: ``memory`` in bytes, without
    the kernel's for sockets; ``core``: how many cores are busy when most mails come. ``descriptors`` of each process.
    ``back_s``: within how many seconds everybody is back after an outage, with one host."""

    hosts: int
    processes: int
    connections: int
    memory: int
    core: float
    descriptors: int
    back_s: float


@dataclass(frozen=True, slots=True)
class WorkerNeed:
    """Of the one that leads; a standby needs the same when it takes over. ``pushes``: so many a second it can do.
    ``everybody_s``: how long one mail to everybody keeps it busy. ``bridged_s``: for how long Redis may be away, when
    most mails come, before the provider's socket is left unread; ``None``: nothing comes."""

    memory: int
    core: float
    pushes: float
    everybody_s: float
    bridged_s: float | None


@dataclass(frozen=True, slots=True)
class NetworkNeed:
    """Bytes a second. ``idle`` and ``busy``: to all browsers; ``everybody``: the bytes of one mail to everybody, all
    browsers together. ``redis``: from Redis to all edges, when most mails come; ``provider``: to the worker."""

    idle: float
    busy: float
    everybody: float
    redis: float
    provider: float


@dataclass(frozen=True, slots=True)
class ProviderNeed:
    """Calls. ``fill``, ``fill_s``: the first reading of the directory; ``recount``, ``recount_s``: counts that are
    asked for after a gap, of who is on line."""

    fill: int
    fill_s: float
    recount: int
    recount_s: float


@dataclass(frozen=True, slots=True)
class Need:
    """Everything."""

    redis: RedisNeed
    edges: EdgeNeed
    worker: WorkerNeed
    network: NetworkNeed
    provider: ProviderNeed


def need_of(of: Corporation) -> Need:
    """What a corporation needs."""
    mails = of.busy_mails
    events = 2 * mails
    frames = events * of.reach
    mean = (of.mail_bytes + of.count_bytes) / 2
    edges = _edges(of, frames)
    openings = edges.processes * of.handshake_rate if of.handshake_rate else _openings_by_cpu(edges.processes)
    return Need(
        redis=RedisNeed(
            memory=redis_memory(of),
            commands_busy=of.online * MEASURED.idle_commands + events * MEASURED.push_commands,
            commands_storm=min(openings, of.online) * MEASURED.opening_commands,
            core=(of.online * MEASURED.idle_redis_us + events * MEASURED.push_redis_us) / _SECOND_US,
            stream_s=of.events_max / of.events_a_day * DAY_S if of.events_a_day else None,
        ),
        edges=edges,
        worker=WorkerNeed(
            memory=round(
                MEASURED.worker_process + of.accounts * MEASURED.account_in_worker + of.backlog * of.mail_bytes
            ),
            core=events * MEASURED.push_cpu_us / _SECOND_US,
            pushes=_SECOND_US / MEASURED.push_cpu_us,
            everybody_s=of.accounts * MEASURED.push_cpu_us / _SECOND_US,
            bridged_s=of.backlog / events if events else None,
        ),
        network=NetworkNeed(
            idle=of.online * (MEASURED.idle_bytes + 2 * _PACKET / _BEAT_S),
            busy=frames * (mean + _PACKET),
            everybody=of.online * (of.mail_bytes + _PACKET),
            redis=events * min(1.0, of.reach) * (mean + _PACKET),
            provider=events * (mean + _PACKET),
        ),
        provider=ProviderNeed(
            fill=of.accounts + 1,
            fill_s=of.accounts * max(of.call_s / CALLS_AT_ONCE, ACCOUNT_READ_S),
            recount=min(of.online, of.accounts),
            recount_s=min(of.online, of.accounts) / of.newcount_rate,
        ),
    )


def _edges(of: Corporation, frames: float) -> EdgeNeed:
    core = (of.online * MEASURED.idle_cpu_us + frames * MEASURED.frame_cpu_us) / _SECOND_US
    processes = max(1, math.ceil(of.online / PER_PROCESS), math.ceil(core / _SHARE_OF_CORE))
    connections = math.ceil(of.online / processes)
    by_rate = processes * of.handshake_rate if of.handshake_rate else math.inf
    return EdgeNeed(
        hosts=_HOSTS,
        processes=processes,
        connections=connections,
        memory=round(processes * MEASURED.edge_process + of.online * MEASURED.connection),
        core=core,
        descriptors=min(connections + _DESCRIPTORS_KEPT, math.ceil(connections * 4 / 3)) + _OWN_DESCRIPTORS,
        back_s=of.online / min(by_rate, _openings_by_cpu(processes)),
    )


def _openings_by_cpu(processes: int) -> float:
    return processes * _SECOND_US / MEASURED.opening_cpu_us
