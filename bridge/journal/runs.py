"""Runs of the script: which calls of a batch go into one.

Mails and counts go together, because what the script does once for a run is most of what one of them would cost alone.
All others have a run each. While a run lasts Redis answers nobody else, so it is bounded: to a millisecond or two on
an ordinary machine, five on a slow one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from bridge.journal.calls import SEEN_ENTRIES, SEEN_MS, Call, Count, Rendered, Retention
from bridge.journal.epochs import new_epochs
from bridge.journal.keys import Keys
from bridge.journal.script import Argument, ScriptCall

MOST_CALLS: Final = 64
MOST_BYTES: Final = 131_072
"""Of the events of one run, unless a single call has more."""


class Run(NamedTuple):
    """One call of the script, and how many calls of the batch it has."""

    call: ScriptCall
    size: int


def in_runs(
    calls: Sequence[Call],
    number: int,
    keys: Keys,
    retention: Retention,
    lease: str,
    server: str,
    *,
    unsure: bool,
    together: int = MOST_CALLS,
) -> list[Run]:
    """The runs of a batch whose first call has this number.

    ``server``: run id of the server that they are meant for. The first run names it, and if ``unsure`` all do.
    ``together``: how many mails and counts go into one run at most.
    """
    runs: list[Run] = []
    waiting: list[tuple[str, Rendered]] = []
    size = 0

    def end() -> None:
        nonlocal number, size
        if waiting:
            run = _record(waiting, number, keys, retention, lease, server if unsure or not runs else "")
            runs.append(Run(run, len(waiting)))
            number += len(waiting)
            waiting.clear()
            size = 0

    for call in calls:
        if isinstance(call, Count):
            bytes_ = len(call.event.body)
            if len(waiting) >= together or size + bytes_ > MOST_BYTES:
                end()
            waiting.append((call.event.stream, call.render(keys, retention)))
            size += bytes_
        else:
            end()
            run = _alone(call, number, keys, retention, lease, server if unsure or not runs else "")
            runs.append(Run(run, 1))
            number += 1
    end()
    return runs


def _alone(call: Call, number: int, keys: Keys, retention: Retention, lease: str, server: str) -> ScriptCall:
    own_keys, verb, named, more = call.render(keys, retention)
    return (
        (keys.lease, keys.commits, keys.generation, *own_keys),
        (verb, lease, number, new_epochs(1)[0], server, *named.values(), *more),
    )


def _record(
    calls: Sequence[tuple[str, Rendered]],
    number: int,
    keys: Keys,
    retention: Retention,
    lease: str,
    server: str,
) -> ScriptCall:
    # The script moves each call's keys to the places of state, log and seen; until then the first one's stand there. A
    # cluster that moves a slot refuses a run with keys that are not there, so the key of dead documents, which
    # seldom is, is named only where it is needed.
    state, log, seen = calls[0][1][0]
    dead = keys.dead if any(rendered[2].get("dead") for _, rendered in calls) else keys.commits
    all_keys = [keys.lease, keys.commits, keys.generation, state, log, keys.events, seen]
    all_keys += (keys.upstream, keys.wanted, dead)
    arguments: list[Argument] = ["record", lease, number, "", server, *record_arguments(keys, retention).values()]
    for (mailbox, (own_keys, kind, named, _)), epoch in zip(calls, new_epochs(len(calls)), strict=True):
        all_keys += own_keys
        arguments += (kind, mailbox, epoch)
        arguments += named.values()
    return all_keys, arguments


def record_arguments(keys: Keys, retention: Retention) -> dict[str, Argument]:
    """What all calls of a run share, with the names and in the order in which the script reads them."""
    plain, sharded = keys.published_on("")
    return {
        "seen_ms": SEEN_MS,
        "seen_max": SEEN_ENTRIES,
        "history_max": retention.history_events,
        "history_ms": retention.history_s * 1000,
        "events_max": retention.events_max,
        "mailbox_channels": plain,
        "sharded_channels": sharded,
        "mail_new_channel": keys.kind_channel("mail.new"),
        "mail_unread_channel": keys.kind_channel("mail.unread"),
        "mail_missed_channel": keys.kind_channel("mail.missed"),
    }
