"""The writes that a leader can make, as data.

Each call knows its keys and arguments for ``lua/writing.lua`` and ``lua/counts.lua``; the writer adds the lease and the
call number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import msgspec

from bridge.events import DIRECTORY, SYSTEM, Event
from bridge.journal.keys import Keys
from bridge.journal.script import Argument

SEEN_MS: Final = 7 * 86_400_000
SEEN_ENTRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept.

    ``history``: entries and seconds of each mailbox's log; ``events``: entries of the stream of all events; ``dead``:
    entries and seconds of documents that could not be read.
    """

    history_events: int = 200
    history_s: int = 86_400
    events_max: int = 200_000
    dead_max: int = 1000
    dead_s: int = 7 * 86_400


Rendered = tuple[Sequence[str], str, Mapping[str, Argument], Sequence[Argument]]
"""A call as the script takes it: the keys from the fourth on; the verb; its arguments, with the names and in the order
in which the verb reads them (a test compares the two); and the lists that some verbs take after them. Of a call that
goes into a run with others: its keys, kind and arguments there."""


class Call(Protocol):
    """One numbered write."""

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        """The call's keys, verb and arguments."""
        ...


def _history(retention: Retention) -> Mapping[str, Argument]:
    """The arguments that bound what is kept, for verbs that publish."""
    return {
        "history_max": retention.history_events,
        "history_ms": retention.history_s * 1000,
        "events_max": retention.events_max,
    }


def _count_keys(keys: Keys, mailbox: str) -> tuple[str, ...]:
    """The keys of a mail or count."""
    return keys.state(mailbox), keys.log(mailbox), keys.seen(mailbox)


# Structs, not dataclasses, as the pushes that they come from: they are built once a push.
class RecordMail(msgspec.Struct, frozen=True, gc=False):
    """A mail: published once for each (mailbox, ``mail_id``); an empty id is never de-duplicated.

    ``unread`` is the count that came with it, if any. ``correction`` is the ``mail.unread`` event to publish instead if
    the mail is a duplicate with a new count. ``dead`` is the entry of ``{ns}:dead`` that the mail was recovered from,
    if it was; the entry is removed in the same step.
    """

    event: Event
    mail_id: str
    unread: int | None
    correction: Event
    dead: str = ""

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        mailbox = self.event.stream
        return (
            _count_keys(keys, mailbox),
            "mail",
            {
                "mail_id": self.mail_id,
                "unread": "" if self.unread is None else self.unread,
                "body": self.event.body,
                "correction": self.correction.body,
                "dead": self.dead,
            },
            (),
        )


class RecordCount(msgspec.Struct, frozen=True, gc=False):
    """An unread count that was pushed; publishes nothing when it equals the stored one."""

    event: Event
    unread: int

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        return _count_keys(keys, self.event.stream), "push", {"unread": self.unread, "body": self.event.body}, ()


@dataclass(frozen=True, slots=True)
class RecordPoll:
    """An unread count that was asked for; applies only if the mailbox's seq still is ``asked_at``.

    ``missed``: the ``mail.missed`` event, published if the count rose over a gap in the pushes by more than the mails
    that were published since. ``proven``: an earlier answer's count, whose mails must have been pushed by now if they
    ever will be; ``None``: there is no earlier answer, so ask again after a moment.
    """

    event: Event
    unread: int
    asked_at: int
    missed: Event
    proven: int | None = None

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        return (
            _count_keys(keys, self.event.stream),
            "poll",
            {
                "unread": self.unread,
                "asked_at": self.asked_at,
                "proven": "" if self.proven is None else self.proven,
                "body": self.event.body,
                "missed_body": self.missed.body,
            },
            (),
        )


Count = RecordMail | RecordCount | RecordPoll
"""What a mailbox is told: many such calls go into one run of the script, see :mod:`bridge.journal.runs`."""


@dataclass(frozen=True, slots=True)
class Announce:
    """An event about the bridge itself, and the fields of the upstream hash that change with it.

    The value ``+1`` increments a field.
    """

    event: Event
    upstream: Mapping[str, str] = field(default_factory=dict)

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        return (
            (keys.state(SYSTEM), keys.log(SYSTEM), keys.events, keys.upstream),
            "announce",
            {
                "type": self.event.type,
                "body": self.event.body,
                **_history(retention),
                "channel": keys.kind_channel("system"),
            },
            [part for pair in self.upstream.items() for part in pair],
        )


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete everything that is kept of a mailbox: count, history, seen MailIds, presence.

    Publishes nothing; a later opening begins a new epoch. ``anew``: the address has a new holder, whose mailbox began
    empty. Its count is asked for, and what was pushed for the new holder before this step counts as missed.
    """

    mailbox: str
    anew: bool = False

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        mailbox = self.mailbox
        return (
            (
                keys.state(mailbox),
                keys.log(mailbox),
                keys.events,
                keys.seen(mailbox),
                keys.forgotten,
                keys.wanted,
                keys.online,
            ),
            "forget",
            {"mailbox": mailbox, "anew": "1" if self.anew else ""},
            (),
        )


@dataclass(frozen=True, slots=True)
class Carry:
    """Move a mailbox's count, history and seen MailIds to another address of the same person.

    Does nothing if the new address has a history of its own. Positions stay the same.
    """

    mailbox: str
    former: str

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        mailbox, former = self.mailbox, self.former
        return (
            (
                keys.state(mailbox),
                keys.log(mailbox),
                keys.events,
                keys.seen(mailbox),
                keys.forgotten,
                keys.state(former),
                keys.log(former),
                keys.seen(former),
            ),
            "carry",
            {"mailbox": mailbox, "former": former},
            (),
        )


Stream = Literal["events", "log", "audit", "dead"]
"""A stream that contains personal data: ``{ns}:events``, the directory's history, the audit trail, dead documents."""


Kept = Literal["whole", "cut", "masked"]
"""How a dead document is stored: whole, only its beginning, or with its texts masked (perhaps only the beginning)."""


@dataclass(frozen=True, slots=True)
class Scrub:
    """Delete entries of a stream by their ids, at least one; its readers find a hole."""

    stream: Stream
    ids: Sequence[bytes]

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        return (
            (keys.state(DIRECTORY), keys.log(DIRECTORY), keys.events, keys.audit, keys.dead),
            "scrub",
            {"stream": self.stream},
            self.ids,
        )


@dataclass(frozen=True, slots=True)
class Bury:
    """Keep a document that could not be read, for operators. ``size``: its length in bytes when it came."""

    reason: str
    size: int
    document: bytes
    kept: Kept

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        return (
            (keys.state(SYSTEM), keys.log(SYSTEM), keys.events, keys.dead),
            "bury",
            {
                "reason": self.reason,
                "size": self.size,
                "document": self.document,
                "kept": self.kept,
                "dead_max": retention.dead_max,
                "dead_ms": retention.dead_s * 1000,
            },
            (),
        )


@dataclass(frozen=True, slots=True)
class Advance:
    """Member changes and the cursor, in one step. Some hundred entries a call.

    ``expect_ver``/``to_ver``: the Ver that must be stored (None = none yet), and the one to store (None = unchanged).
    ``into``: ``now`` changes the mirror, ``next`` fills the stage (or clears it, if there is nothing to fill in),
    ``swap`` makes the stage the mirror. ``stage``: what the stage records about its beginning, only with ``next``.
    ``barred``/``unbarred``: addresses that may not be opened from now on, and that may be again.
    ``held``: deletions that wait for an operator, as JSON; ``b""`` = none any more, None = unchanged.
    ``owed``/``settled``: accounts whose answer is owed from now on (as JSON), and is not owed any more.
    ``moved``: addresses that mean another person from now on. ``doubted``/``trusted``: accounts that may be another
    person's, for a day (see :mod:`bridge.worker.claims`), and that are not doubted any more.
    """

    expect_ver: int | str | None
    to_ver: int | None
    into: Literal["now", "next", "swap"] = "now"
    profiles: Mapping[str, bytes] = field(default_factory=dict)
    removed: Sequence[str] = ()
    slaves: Mapping[str, str] = field(default_factory=dict)
    slaves_removed: Sequence[str] = ()
    events: Sequence[Event] = ()
    barred: Sequence[str] = ()
    unbarred: Sequence[str] = ()
    held: bytes | None = None
    owed: Mapping[str, bytes] = field(default_factory=dict)
    settled: Sequence[str] = ()
    moved: Sequence[str] = ()
    doubted: Sequence[str] = ()
    trusted: Sequence[str] = ()
    stage: str = ""

    def render(self, keys: Keys, retention: Retention) -> Rendered:
        pairs: Sequence[Mapping[str, str | bytes]] = (self.profiles, self.slaves, self.owed)
        names = (
            *(self.removed, self.slaves_removed, self.barred, self.unbarred),
            *(self.settled, self.moved, self.doubted, self.trusted),
        )
        arguments: dict[str, Argument] = {
            "into": self.into,
            "expected_ver": "" if self.expect_ver is None else self.expect_ver,
            "to_ver": "" if self.to_ver is None else self.to_ver,
            "stage": self.stage,
            "held": "" if self.held is None else self.held or "-",
            **_history(retention),
            "channel": keys.kind_channel("directory"),
            "sizes": ",".join(str(len(each)) for each in (*pairs, *names, self.events)),
        }
        more: list[Argument] = []
        for each in pairs:
            more += (part for pair in each.items() for part in pair)
        for some in names:
            more += some
        for event in self.events:
            more += (event.type, event.body)
        return (
            (
                keys.state(DIRECTORY),
                keys.log(DIRECTORY),
                keys.events,
                keys.ver,
                keys.directory,
                keys.slaves,
                keys.directory_next,
                keys.slaves_next,
                keys.held,
                keys.barred,
                keys.barred_next,
                keys.owed,
                keys.moved,
                keys.ver_next,
                keys.doubted,
            ),
            "advance",
            arguments,
            more,
        )
