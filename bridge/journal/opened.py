"""One mailbox at one moment, as the script's ``open`` answers it: the shapes, and reading them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.events import Position, UpstreamState
from bridge.journal.errors import JournalSpoilt
from bridge.journal.script import Failed

Status = Literal["resumed", "first", "expired", "epoch", "barred", "ahead"]
Standing = Literal["open", "barred", "moved"]
"""What became of an account's address: it may be opened · the account is disabled or deleted · it is a slave now."""
SLAVE: Final = 2
BARRED: Final = 3
AHEAD: Final = 4
"""First words of an answer that is none: the address is a slave, the account is barred."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The state of the connection to the provider, since when (epoch ms; None = never seen) and why.

    ``led``: a worker leads. Without one the state is ``disconnected``, whatever was written last.
    """

    state: UpstreamState
    since: int | None
    why: str
    led: bool = True


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """``after``: the position to resume from; ``ask``: have the worker ask for a stale count; ``mails``: not resumed,
    give the newest ones. ``patient``: a position that is ahead of what is stored is told, and begins nothing yet. Equal
    requests have equal answers."""

    mailbox: str
    after: Position | None = None
    ask: bool = False
    mails: bool = True
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """One mailbox at one moment.

    ``mailbox`` is the account's main address also where a slave was asked for. ``top`` is the last event's
    position. ``events``, oldest first: with ``resumed`` what follows the position asked for, bounded in bytes (the rest
    is asked for from the last of them on), else the newest mails. ``barred``: the account is disabled or deleted, and
    ``ahead`` where the request was patient: nothing else is told. ``ahead``: with ``epoch``, the position asked for is
    one that this server should know and does not: it went back. ``shared`` is for what all who get the same
    answer make of it.
    """

    mailbox: str
    top: Position
    unread: int | None
    as_of: int | None
    status: Status
    events: list[bytes]
    known: bool
    upstream: Upstream
    generation: int = 0
    ahead: bool = False
    shared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a mailbox's history, oldest first. ``complete``: nothing is missing before the first event."""

    mailbox: str
    events: list[bytes]
    position: Position
    more: bool
    complete: bool


def whole(opened: Opened | Failed) -> Opened:
    """The answer itself.

    Raises:
        JournalSpoilt: it could not be read.
        TakesNoWrites: it would have to be begun.
    """
    if not isinstance(opened, Opened):
        raise opened
    return opened


def read_opened(mailbox: str, answer: list[Any] | Failed) -> Opened | Failed:
    """Read what the script answers about a mailbox."""
    if not isinstance(answer, list):
        return answer
    if answer[0] in (BARRED, AHEAD):
        said: Status = "barred" if answer[0] == BARRED else "ahead"
        return Opened(mailbox, Position("", 0), None, None, said, [], True, read_upstream(0, None, None, None))
    try:
        # A slave of a slave has another shape: nobody's main address, and perhaps a ring.
        _, epoch, seq, unread, as_of, status, events, known, led, state, since, why, generation = answer
        return Opened(
            mailbox=mailbox,
            top=Position(epoch.decode(), int(seq)),
            unread=None if unread is None else int(unread),
            as_of=None if as_of is None else int(as_of),
            status="epoch" if status == b"ahead" else status.decode(),
            ahead=status == b"ahead",
            events=events,
            known=bool(known),
            upstream=read_upstream(led, state, since, why),
            generation=int(generation),
        )
    except (ValueError, TypeError, AttributeError) as error:
        return JournalSpoilt(f"what is stored there cannot be read: {error}")


def read_upstream(led: int, state: bytes | None, since: bytes | None, why: bytes | None) -> Upstream:
    """The provider connection's state; an odd value is an unknown one, and nobody's mailbox fails for it."""
    if not led:
        return Upstream("disconnected", None, "no worker leads", led=False)
    at = int(since) if since and since.isdigit() else None
    if state == b"connected":
        return Upstream("connected", at or 0, (why or b"").decode(errors="replace"))
    if state == b"degraded":
        return Upstream("degraded", at or 0, (why or b"").decode(errors="replace"))
    return Upstream("disconnected", at, (why or b"not connected yet").decode(errors="replace"))
