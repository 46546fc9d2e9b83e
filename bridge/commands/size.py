"""``size``: what a corporation needs, of Redis, edges, worker, network and provider, from what was measured.

Works without Redis. With ``--measured`` a living system says how many people there are, how many mails come and how
large they are; what is given as an option counts more.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import OK, Command, add_settings_options, settings_of
from bridge.commands.leader import connected
from bridge.events import to_json
from bridge.settings import Settings, SettingsError
from bridge.sizing.corporation import Corporation
from bridge.sizing.need import Need, need_of

if TYPE_CHECKING:
    from bridge.journal.living import Living

_MIB: Final = 1024 * 1024
_MOST: Final = 100_000_000
_UNIT_DESCRIPTORS: Final = 65_536
"""What our units set."""
_SHORT_S: Final = 3600
"""A stream of all events, or a measurement, that reaches back less far tells little."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    for option, kind, meaning in (
        ("--accounts", _whole, "how many there are; needed without --measured"),
        ("--aliases", _number, "further addresses (别名) of each account (1)"),
        ("--mails", _number, "mails to each account in a day (50)"),
        ("--online", _whole, "connections at a time, of all browsers (one for each account)"),
        ("--history-events", _whole, "BRIDGE_HISTORY_EVENTS (as it is set)"),
        ("--history-seconds", _whole, "BRIDGE_HISTORY_SECONDS (as it is set)"),
        ("--events-max", _whole, "BRIDGE_EVENTS_MAX (as it is set)"),
        ("--answer-ms", _number, "how long the provider takes to answer a call, in milliseconds (100)"),
    ):
        parser.add_argument(option, type=kind, metavar="N", help=meaning)
    parser.add_argument("--measured", action="store_true", help="ask a Redis that is in use what it can tell of that")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object, in bytes and seconds")


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    seen = asyncio.run(_look(settings)) if arguments.measured else None
    of = _corporation(arguments, settings, seen)
    need = need_of(of)
    if arguments.json:
        facts = {
            "corporation": asdict(of),
            "measured": seen and asdict(seen),
            **_facts(need),
            "look_at": _look_at(need, seen),
        }
        sys.stdout.buffer.write(to_json(facts) + b"\n")
    else:
        lines = [*_assumed(of), *_seen(seen), *_lines(of, need), *(("look at", line) for line in _look_at(need, seen))]
        sys.stdout.write("".join(f"{name:<10} {line}\n" for name, line in lines))
    return OK


async def _look(settings: Settings) -> Living:
    from bridge.journal.living import living

    async with connected(settings) as (redis, keys):
        return await living(redis, keys)


def _corporation(arguments: argparse.Namespace, settings: Settings, seen: Living | None) -> Corporation:
    """What is given, else what was measured, else what is set or usual.

    Raises:
        SettingsError: nobody says how many accounts there are.
    """
    accounts = arguments.accounts if arguments.accounts is not None else seen and seen.accounts
    if not accounts:
        why = "the directory in this Redis is empty" if seen else "--measured asks Redis"
        raise SettingsError([f"how many accounts are there? Say it with --accounts N; {why}"])
    given = {
        "aliases": arguments.aliases,
        "mails": arguments.mails,
        "online": arguments.online,
        "history_events": arguments.history_events,
        "history_s": arguments.history_seconds,
        "events_max": arguments.events_max,
        "call_s": None if arguments.answer_ms is None else arguments.answer_ms / 1000,
    }
    return replace(
        Corporation(
            accounts=accounts,
            online=accounts,
            history_events=settings.history.events,
            history_s=settings.history.seconds,
            events_max=settings.events.max,
            audit_max=settings.audit.max,
            dead_max=settings.dead.max,
            backlog=settings.worker.backlog,
            handshake_rate=settings.edge.handshake_rate,
            newcount_rate=settings.worker.newcount_rate,
        ),
        **{**(_measured(seen) if seen else {}), **{name: value for name, value in given.items() if value is not None}},
    )


def _measured(seen: Living) -> dict[str, Any]:
    """What can be said by it; what nobody has had yet is left to the defaults.

    How many are on line is not: at night it is nobody.
    """
    found = {
        "aliases": seen.aliases / seen.accounts if seen.accounts else None,
        "mails": seen.mails_a_day,
        "mail_bytes": seen.mail_bytes or None,
        "count_bytes": seen.count_bytes or None,
        "mailbox_bytes": seen.mailbox_bytes,
    }
    return {name: value for name, value in found.items() if value is not None}


def _facts(need: Need) -> dict[str, Any]:
    memory = need.redis.memory
    facts = asdict(need)
    facts["redis"]["memory"] |= {name: getattr(memory, name) for name in ("all", "maxmemory", "machine", "disk")}
    return facts


def _assumed(of: Corporation) -> Iterator[tuple[str, str]]:
    kept = f"{of.history_events:,} events or {_time(of.history_s)} of each mailbox, {of.events_max:,} of all"
    yield "for", f"{of.accounts:,} accounts with {of.aliases:.3g} aliases each, {of.online:,} connections at a time"
    yield "", f"{of.mails:,.3g} mails a day to each, {of.busy_mails:,.1f} a second when most come; each is read"
    yield "", f"kept: {kept}"


def _seen(seen: Living | None) -> Iterator[tuple[str, str]]:
    if seen is None:
        return
    span = "" if seen.span_s is None else f" over {_time(seen.span_s)}"
    mail = f"; a mail is {seen.mail_bytes:,.0f} bytes" if seen.mails else ""
    mailbox = f"; a mailbox takes {_size(seen.mailbox_bytes)}" if seen.accounts else ""
    yield "measured", f"{seen.events:,} events kept{span}{mail}{mailbox}"
    if seen.events_s is not None:
        yield "", f"{seen.events_s:,.2g} events a second on average"
    yield "", f"Redis: {_size(seen.memory)} in use, {seen.commands:,} commands a second; {seen.online:,} on line now"
    if seen.mails_a_day is None:
        yield "", "how many mails come is not known from this Redis yet"
    elif seen.span_s is not None and seen.span_s < 24 * _SHORT_S:
        yield "", "these are fewer than 24 hours: a whole day may have more or fewer mails, give --mails"


def _lines(of: Corporation, need: Need) -> Iterator[tuple[str, str]]:
    memory, redis, edges, worker = need.redis.memory, need.redis, need.edges, need.worker
    network, provider = need.network, need.provider
    parts = (
        *((memory.directory, "directory"), (memory.mailboxes + memory.histories, "mailboxes")),
        *((memory.seen, "MailIds"), (memory.stream, "stream of all events"), (memory.clicks, "clicks")),
        (memory.unreadable, "unreadable documents"),
    )
    yield "redis", f"maxmemory {memory.maxmemory // _MIB}mb; machine {_size(memory.machine)}, disk {_size(memory.disk)}"
    yield "", f"{_size(memory.all)} when full: {', '.join(f'{name} {_size(size)}' for size, name in parts)}"
    yield (
        "",
        f"{redis.commands_busy:,.0f} commands a second when most mails come, {redis.core:.1%} of a core; "
        f"{redis.commands_storm:,.0f} when everybody comes back",
    )
    if redis.stream_s is not None:
        yield "", f"the stream of all events reaches back {_time(redis.stream_s)}"
    yield (
        "edges",
        f"{edges.hosts} hosts, each with edge --workers {edges.processes}, so that one carries everybody "
        f"({edges.connections:,} a process)",
    )
    yield (
        "",
        f"each host: {_many(edges.processes, 'core')} ({edges.core:.1%} of one in use when most mails come), "
        f"{_size(edges.memory)} beside the kernel's; descriptors {edges.descriptors:,} a process",
    )
    yield "", f"everybody is back {_time(edges.back_s)} after an outage, over one host"
    yield (
        "worker",
        f"1 leads, 1 stands by: each {_size(worker.memory)}, {worker.core:.1%} of a core when most mails come",
    )
    yield "", f"up to {worker.pushes:,.0f} pushes a second; a mail to everybody takes it {_time(worker.everybody_s)}"
    if worker.bridged_s is not None:
        yield "", f"Redis may be away for {_time(worker.bridged_s)} when most mails come, and nothing is left unread"
    yield (
        "network",
        f"browsers: {_rate(network.idle)} idle, {_rate(network.busy)} when most mails come; a mail to everybody is "
        f"{_size(network.everybody)}",
    )
    yield (
        "",
        f"Redis to edges {_rate(network.redis)}, provider to worker {_rate(network.provider)}, when most mails come",
    )
    yield (
        "provider",
        f"first reading of the directory: {provider.fill:,} calls, {_time(provider.fill_s)} at "
        f"{of.call_s * 1000:,.0f} ms each",
    )
    yield "", f"after a gap: {provider.recount:,} counts are asked for, {_time(provider.recount_s)}"


def _look_at(need: Need, seen: Living | None) -> list[str]:
    """What does not fit as it is set, and what to do about it."""
    redis, edges, network = need.redis, need.edges, need.network
    stream_s = math.inf if redis.stream_s is None else redis.stream_s
    most = seen.memory_most if seen else 0
    checks = (
        (0 < most < redis.memory.maxmemory, f"Redis has maxmemory {most // _MIB}mb now, which is less"),
        (stream_s < _SHORT_S, "services that are away for longer than the stream reaches: raise BRIDGE_EVENTS_MAX"),
        (redis.core > 0.5, "Redis has one core for all of this: give it a fast one, and nothing else on it"),
        (need.worker.core > 0.5, "one worker reads all pushes on one core"),
        (edges.descriptors > _UNIT_DESCRIPTORS, f"the edge's unit sets LimitNOFILE={_UNIT_DESCRIPTORS}: raise it"),
        (edges.connections * edges.processes > 300, "nginx: worker_connections for two of each browser (Debian: 768)"),
        (network.everybody > 125 * _MIB, "a mail to everybody fills a line of 1 Gbit/s for more than a second"),
    )
    return [text for applies, text in checks if applies]


def _whole(text: str) -> int:
    return int(_checked(text, int))


def _number(text: str) -> float:
    return _checked(text, float)


def _checked(text: str, kind: Callable[[str], float]) -> float:
    try:
        value = kind(text.replace(",", ""))
    except ValueError:
        value = -1
    if not 0 <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"a number from 0 to {_MOST:,}")
    return value


def _size(size: float) -> str:
    """Bytes for people, never rounded to nothing."""
    for unit, bytes_of_one in (("GiB", 1024 * _MIB), ("MiB", _MIB), ("KiB", 1024)):
        if size >= bytes_of_one:
            return f"{size / bytes_of_one:,.1f} {unit}"
    return f"{size:,.0f} bytes"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _rate(size: float) -> str:
    return f"{_size(size)}/s"


def _time(seconds: float) -> str:
    for unit, seconds_of_one in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * seconds_of_one:
            return f"{seconds / seconds_of_one:,.0f} {unit}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"


COMMAND = Command(
    name="size",
    summary="what a corporation needs: Redis memory, edge processes, hosts, network, calls to the provider",
    examples=(
        "size --accounts 5000",
        "size --accounts 5000 --mails 80 --online 9000 --history-seconds 604800",
        "size --measured --json",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
