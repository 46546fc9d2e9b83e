"""``events``: print what another service gets from Redis, as it comes."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import TYPE_CHECKING, Final

from bridge import events
from bridge.commands.command import OK, Command, add_settings_options, operator_settings
from bridge.commands.leader import shown_json
from bridge.settings import Settings, SettingsError

if TYPE_CHECKING:
    from bridge.journal.follow import Followed, Follower, StreamId

_PREFIX: Final = "exmail."
_TYPES: Final = (
    *(events.MAIL_NEW, events.MAIL_UNREAD, events.MAIL_MISSED),
    *(events.USER_ADDED, events.USER_UPDATED, events.USER_DELETED),
    *(events.DIRECTORY_SYNCED, events.DIRECTORY_HELD),
    *(events.UPSTREAM_CONNECTED, events.UPSTREAM_DISCONNECTED, events.UPSTREAM_DEGRADED),
    *(events.UPSTREAM_MISSED, events.UPSTREAM_CONFLICT),
    *(events.EDGE_DEAF, events.LEADER_CHANGED),
)
# The event types on the channel of each name.
_SYSTEM: Final = tuple(
    type for type in _TYPES if type.startswith(("exmail.upstream.", "exmail.edge.", "exmail.leader."))
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AWAY_PAUSE_S: Final = 1.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument(
        "types",
        metavar="TYPE",
        nargs="*",
        type=_types,
        help="only these: mail.new, mail.unread, mail.missed, directory, system, or the beginning of a type (all)",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        type=_since,
        help="first what was published since then: 90s, 10m, 2h, 1d, or after the id of a stream entry (0-0: all)",
    )
    parser.add_argument(
        "--until", metavar="WHEN", choices=["now"], help="now: end when all is printed that is there; with --since"
    )


def _types(word: str) -> tuple[str, ...]:
    """The event types that a word stands for, as a ``type`` of argparse."""
    name = word.removeprefix(_PREFIX)
    named = tuple(type for type in _TYPES if f"{type}.".startswith(f"{_PREFIX}{name}."))
    if name == "system":
        named = _SYSTEM
    if not named:
        known = ", ".join(type.removeprefix(_PREFIX) for type in _TYPES)
        raise argparse.ArgumentTypeError(f"no event is called {word!r}; there are {known}")
    return named


def _since(text: str) -> float | StreamId:
    """A duration in seconds or a place in the stream, as a ``type`` of argparse."""
    from bridge.journal.follow import parse_stream_id

    duration = re.fullmatch(r"([0-9]{1,9})([smhd])", text, re.ASCII)
    if duration:
        return float(int(duration[1]) * _UNITS[duration[2]])
    place = parse_stream_id(text)
    if place is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration (10m) nor the id of a stream entry (1795…-42)"
        )
    return place


def _run(arguments: argparse.Namespace) -> int:
    settings = operator_settings(arguments)
    if arguments.until and arguments.since is None:
        raise SettingsError(["--until now ends before it begins: say with --since what to print"])
    wanted = frozenset(type for types in arguments.types for type in types)
    asyncio.run(_print_until_stopped(settings, wanted, arguments.since, ends=arguments.until is not None))
    return OK


async def _print_until_stopped(
    settings: Settings, wanted: frozenset[str], since: float | StreamId | None, *, ends: bool
) -> None:
    from bridge.app.parts import ended, redis_address, until_stopped
    from bridge.journal.follow import Follower
    from bridge.journal.keys import Keys
    from bridge.supervision import Shutdown

    with Shutdown() as shutdown:
        address = redis_address(settings)
        async with Follower(address, Keys(settings.namespace)) as follower:

            async def run() -> None:
                # If Redis refuses, the printing ends, and the watching of the address with it.
                watching = asyncio.create_task(address.watch(), name="redis whereabouts")
                try:
                    await _print(follower, wanted, since, ends=ends)
                finally:
                    watching.cancel()

            await ended(await until_stopped(run, shutdown.event, name="events"))


async def _print(follower: Follower, wanted: frozenset[str], since: float | StreamId | None, *, ends: bool) -> None:
    """Print until cancelled, or until all is printed that was there at first; wait while Redis is away, end if it
    refuses. ``since``: a place, or how many seconds ago to begin."""
    from bridge.journal.errors import JournalAway, JournalRefused, JournalSpoilt, NotAdmitted
    from bridge.supervision import StartRefused

    started = away = known = False
    last: StreamId | None = None
    while True:
        try:
            if not started:
                await follower.start(await follower.now() - since if isinstance(since, float) else since)
                started = known = True
                away = False
                if not ends:
                    _say("following; Ctrl-C ends it")
            if ends and last is None:
                last = await follower.newest()
            entries = await follower.read(waits=not ends)
            if away:
                away = False
                _say("Redis is back")
            _print_entries([entry for entry in entries if last is None or entry.id <= last], wanted)
            if last is not None and (not entries or entries[-1].id >= last):
                return
        except JournalAway as error:
            if isinstance(error, NotAdmitted) and not known:
                raise StartRefused(f"Redis will not do: {error}") from error
            if not away:
                _say(f"waiting for Redis: {error}")
            away = True
            await asyncio.sleep(_AWAY_PAUSE_S)
        except (JournalRefused, JournalSpoilt) as error:
            raise StartRefused(f"Redis will not do: {error}") from error


def _print_entries(entries: list[Followed], wanted: frozenset[str]) -> None:
    for entry in entries:
        if entry.gap:
            _say(f"before {entry.id}: {entry.gap}")
        if not wanted or entry.type in wanted:
            sys.stdout.buffer.write(shown_json(entry.event) + b"\n")
    sys.stdout.buffer.flush()


def _say(text: str) -> None:
    """Write a remark to standard error; standard output is for events only."""
    sys.stderr.write(f"exmail-bridge: {text}\n")
    sys.stderr.flush()


COMMAND = Command(
    name="events",
    summary="what another service sees on Redis, one JSON line an event, as it comes",
    examples=("events", "events mail.new --since 10m", "events system --since 1h --until now"),
    add_arguments=_add_arguments,
    run=_run,
)
