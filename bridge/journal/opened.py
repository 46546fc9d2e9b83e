"""One mailbox at one moment, as the script's verb ``open`` answers it: the types, and reading the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.events import Position, UpstreamState
from bridge.journal.errors import JournalSpoilt
from bridge.journal.script import Failed

Status = Literal["resumed", "first", "expired", "epoch", "barred", "ahead"]
AddressState = Literal["open", "barred", "moved"]
"""Whether an account's address may be opened: it may · the account is disabled or deleted · it is a slave now."""
SLAVE: Final = 2
BARRED: Final = 3
AHEAD: Final = 4
"""The first number of an answer without a mailbox: the address is a slave, the account is barred, the position is
ahead."""


@dataclass(frozen=True, slots=True)
class UpstreamStatus:
    """The stored state of the connection to the provider, since when (epoch ms; None = never connected) and why.

    ``led``: whether a worker leads. If none does, the state is ``disconnected``, whatever was stored last.
    """

    state: UpstreamState
    since: int | None
    why: str
    led: bool = True


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A question for one mailbox. Equal requests have equal answers.

    ``after``: the position to resume from. ``ask``: have the worker ask for a stale count. ``mails``: answer with the
    newest mails if it is not resumed. ``patient``: if the position is ahead of what is stored, say so and change
    nothing.
    """

    mailbox: str
    after: Position | None = None
    ask: bool = False
    mails: bool = True
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """One mailbox at one moment.

    ``mailbox`` is the account's main address, also if a slave was asked for. ``top`` is the position of the last event.
    ``events``, oldest first: with the status ``resumed`` what follows the position asked for, bounded in bytes (ask
    again from the last one on), otherwise the newest mails. With the status ``barred`` (the account is disabled or
    deleted) or ``ahead`` (to a patient request) nothing else is set. ``ahead``, with the status ``epoch``: this server
    should know the position asked for and does not, so it went back. ``shared`` caches what all who get this answer
    make of it.
    """

    mailbox: str
    top: Position
    unread: int | None
    as_of: int | None
    status: Status
    events: list[bytes]
    known: bool
    upstream: UpstreamStatus
    generation: int = 0
    ahead: bool = False
    shared: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a mailbox's history, oldest first. ``complete``: nothing is missing before the first event."""

    mailbox: str
    events: list[bytes]
    position: Position
    more: bool
    complete: bool


def whole(opened: Opened | Failed) -> Opened:
    """Return the answer, or raise the fault that came instead.

    Raises:
        JournalSpoilt: it could not be read.
        TakesNoWrites: the mailbox would have to be created.
    """
    if not isinstance(opened, Opened):
        raise opened
    return opened


def read_opened(mailbox: str, answer: list[Any] | Failed) -> Opened | Failed:
    """Read the script's answer about a mailbox."""
    if not isinstance(answer, list):
        return answer
    if answer[0] in (BARRED, AHEAD):
        said: Status = "barred" if answer[0] == BARRED else "ahead"
        return Opened(mailbox, Position("", 0), None, None, said, [], True, read_upstream(0, None, None, None))
    try:
        # A slave of a slave, which may even be a ring of slaves, does not fit here.
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


def read_top(state: Any, generation: bytes) -> Position | None:
    """Read a mailbox's last position from its generation, epoch and seq; ``None`` if it has none in this generation,
    and if it cannot be read, because opening it will say why."""
    try:
        of, epoch, seq = state
        return Position(epoch.decode(), int(seq)) if epoch and of == generation else None
    except (ValueError, TypeError):
        return None


def read_upstream(led: int, state: bytes | None, since: bytes | None, why: bytes | None) -> UpstreamStatus:
    """Read the state of the provider connection. An odd value counts as unknown, so that no mailbox fails for it."""
    if not led:
        return UpstreamStatus("disconnected", None, "no worker leads", led=False)
    at = int(since) if since and since.isdigit() else None
    if state == b"connected":
        return UpstreamStatus("connected", at or 0, (why or b"").decode(errors="replace"))
    if state == b"degraded":
        return UpstreamStatus("degraded", at or 0, (why or b"").decode(errors="replace"))
    return UpstreamStatus("disconnected", at, (why or b"not connected yet").decode(errors="replace"))
