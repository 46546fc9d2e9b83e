"""What Redis needs of its machine's memory. The command ``size`` and the doctor's forecast both ask here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

from bridge.sizing.corporation import DAY_S, Corporation
from bridge.sizing.measured import MEASURED

SHARE_OF_MACHINE: Final = 0.75
"""How much of a machine's memory Redis may have: writing its file anew needs room for what changes meanwhile."""
_SHARE_OF_LIMIT: Final = 0.8
"""How full Redis should ever be; from 0.9 on an alert asks for more."""
_FILES: Final = 3
"""An append-only file is twice the data before it is written anew, and the new one lies beside it."""
_STEP: Final = 64 * 1024 * 1024
_DEAD_BYTES: Final = 16 * 1024
_SEEN_DAYS, _SEEN_MOST = 7, 1000


@dataclass(frozen=True, slots=True)
class RedisMemory:
    """Bytes, when everything is kept that the settings allow."""

    server: int
    directory: int
    mailboxes: int
    histories: int
    seen: int
    stream: int
    clicks: int
    unreadable: int

    @property
    def all(self) -> int:
        return sum(asdict(self).values())

    @property
    def maxmemory(self) -> int:
        """The limit to set, in whole pieces of 64 MiB."""
        return math.ceil(self.all / _SHARE_OF_LIMIT / _STEP) * _STEP

    @property
    def machine(self) -> int:
        """What the machine, or the container, must have."""
        return math.ceil(self.maxmemory / SHARE_OF_MACHINE)

    @property
    def disk(self) -> int:
        """For the append-only file."""
        return _FILES * self.maxmemory


def redis_memory(of: Corporation) -> RedisMemory:
    """What a corporation takes."""
    kept = min(of.history_events, of.mails * 2 * of.history_s / DAY_S)
    in_history, _ = bytes_of_events(of.mail_bytes, of.count_bytes)
    history = MEASURED.history + kept * in_history if kept else 0.0
    seen = min(_SEEN_MOST, of.mails * _SEEN_DAYS) * MEASURED.seen_mail
    # What a mailbox was seen to take counts where it is more: some get longer mails than others.
    history = max(history, of.mailbox_bytes - MEASURED.mailbox - seen)
    return RedisMemory(
        server=round(MEASURED.redis_empty),
        directory=round(of.accounts * (MEASURED.account + of.aliases * MEASURED.alias)),
        mailboxes=round(of.accounts * MEASURED.mailbox),
        histories=round(of.accounts * history),
        seen=round(of.accounts * seen),
        stream=round(of.events_max * bytes_of_events(of.mail_bytes, of.count_bytes)[1]),
        clicks=round(of.audit_max * MEASURED.click),
        unreadable=of.dead_max * _DEAD_BYTES,
    )


def bytes_of_events(mail: float = MEASURED.mail_event, count: float = MEASURED.count_event) -> tuple[float, float]:
    """What an event of average size takes in its mailbox's history, and in the stream of all events.

    ``mail``, ``count``: the bytes of its JSON, of half the events each.
    """
    larger, smaller = mail / MEASURED.mail_event, count / MEASURED.count_event
    return (
        (larger * MEASURED.mail_in_history + smaller * MEASURED.count_in_history) / 2,
        (larger * MEASURED.mail_in_stream + smaller * MEASURED.count_in_stream) / 2,
    )


def still_to_come(*, events: int, events_max: int, accounts: int, history_events: int) -> int:
    """By how many bytes Redis will grow until it keeps all that it may; ``events`` of ``events_max`` are there.

    Each event that is still to come is kept in the stream and, as far as there is room, in a history. ``accounts`` 0:
    not known yet.
    """
    left = max(0, events_max - events)
    in_history, in_stream = bytes_of_events()
    room = accounts * history_events if accounts else left
    return round(left * in_stream + min(left, room) * in_history)
