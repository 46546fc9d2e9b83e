"""Every event that is published, declared once: where it is published, and the members of its ``data``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from bridge import events
from bridge.schemas.members import (
    DIALECT,
    Member,
    Schema,
    address,
    always,
    choice,
    constant,
    flag,
    listing,
    moment,
    or_null,
    position,
    record,
    sometimes,
    text,
    whole,
)

Stream = Literal["mailbox", "directory", "system"]

_FOREIGN: Final = "Foreign text: escape it. Absent if BRIDGE_PRIVACY keeps it back."
_NAMESPACE: Final = "[a-z0-9-]{1,32}"
_SOURCES: Final[Mapping[Stream, str]] = {
    "mailbox": f"^/{_NAMESPACE}/mailbox/[^\\s@]+@[^\\s@/]+$",
    "directory": f"^/{_NAMESPACE}/directory$",
    "system": f"^/{_NAMESPACE}/system$",
}


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event; ``about``: what ``subject`` names, ``None`` if there is no subject."""

    type: str
    meaning: str
    stream: Stream
    data: Schema
    about: str | None = None

    @property
    def schema(self) -> Schema:
        """The whole event, a CloudEvents 1.0 object."""
        subject = () if self.about is None else (always("subject", address(self.about)),)
        members: tuple[Member, ...] = (
            always("specversion", constant("1.0")),
            always("id", position("The event's position in the stream that source names; resume after it.")),
            always("sequence", text("The position's number, padded so that it sorts.", pattern="^[0-9]{16,18}$")),
            always("source", text("The stream that the event belongs to.", pattern=_SOURCES[self.stream])),
            always("type", constant(self.type)),
            *subject,
            always("time", text("When it happened, in UTC.", format="date-time")),
            always("datacontenttype", constant("application/json")),
            always("data", self.data),
        )
        return {"$schema": DIALECT, "title": self.type, **record(self.meaning, *members)}


def _mailbox() -> Member:
    return always("mailbox", address("The account's main address."))


def _as_of() -> Member:
    return always("as_of", moment("When the count was true, by Redis's clock; of two counts the later one is newer."))


def _alias() -> Member:
    return always("alias", address("The account's main address."))


def _ver() -> Member:
    return always("ver", whole("The provider's Ver that the change came with."))


def _span(since: str, until: str) -> tuple[Member, Member]:
    return always("since", moment(since)), always("until", moment(until))


def profile() -> Schema:
    """An account's profile: its alias, and the fields that BRIDGE_DIRECTORY_FIELDS keeps."""
    return record(
        "The account as it is now: alias, and the fields of BRIDGE_DIRECTORY_FIELDS.",
        always("alias", address("The account's main address.")),
        sometimes("name", text("The person's name.")),
        sometimes("gender", whole("0 not set, 1 male, 2 female.")),
        sometimes("slaves", listing("Further addresses of the account (别名).", text("An address."))),
        sometimes("position", text("The person's position.")),
        sometimes("tel", text("Telephone.")),
        sometimes("mobile", text("Mobile telephone.")),
        sometimes("ext_id", text("The company's own number for the person.")),
        sometimes("parties", listing("Departments, as paths without the root.", text("A path."))),
        sometimes("open_type", whole("1 enabled, 2 disabled, 0 not said.")),
        sometimes("status", {"type": ["string", "integer", "null"], "description": "As the provider has it."}),
    )


def _mails() -> tuple[EventType, ...]:
    about = "The mailbox."
    return (
        EventType(
            events.MAIL_NEW,
            "A new mail.",
            "mailbox",
            record(
                "The mail, and the count that it came with.",
                _mailbox(),
                always("mail_id", text("The provider's id; empty if it gave none.", most=256)),
                sometimes("sender", text(_FOREIGN, most=512)),
                sometimes("receiver", text(_FOREIGN, most=2048)),
                sometimes("mail_subject", text(_FOREIGN, most=1024)),
                sometimes("summary", text(_FOREIGN, most=2048)),
                always("unread", or_null(whole("Unread mails of the mailbox; null: the mail came without a count."))),
                _as_of(),
            ),
            about,
        ),
        EventType(
            events.MAIL_UNREAD,
            "The number of unread mails changed.",
            "mailbox",
            record(
                "The count.",
                _mailbox(),
                always(
                    "reason", text("push: the provider said so; reconcile: it was asked.", known=("push", "reconcile"))
                ),
                always("unread", whole("Unread mails of the mailbox.")),
                _as_of(),
            ),
            about,
        ),
        EventType(
            events.MAIL_MISSED,
            "Mails came while nobody listened, and can never be announced one by one.",
            "mailbox",
            record(
                "How many, and in which time.",
                _mailbox(),
                *_span("When the last count was true.", "When the count was asked for again."),
                always("at_least", whole("At least so many mails.", least=1)),
            ),
            about,
        ),
    )


def _directory() -> tuple[EventType, ...]:
    about, changed = "The account's main address.", "What changed: names of profile fields, and enabled."
    return (
        EventType(
            events.USER_ADDED,
            "An account is there that was not.",
            "directory",
            record(
                "The account.",
                _alias(),
                _ver(),
                sometimes("enabled", flag("false: the account is disabled.")),
                always("profile", profile()),
            ),
            about,
        ),
        EventType(
            events.USER_UPDATED,
            "An account changed.",
            "directory",
            record(
                "The account.",
                _alias(),
                _ver(),
                always("changed", listing(changed, text("A name."))),
                sometimes("enabled", flag("There only if it changed. false: the account is disabled now.")),
                always("profile", profile()),
            ),
            about,
        ),
        EventType(
            events.USER_DELETED,
            "An account is gone: the provider deleted it and a second look agreed, or it was forgotten here.",
            "directory",
            record("The account.", _alias(), _ver()),
            about,
        ),
        EventType(
            events.DIRECTORY_SYNCED,
            "An answer of the provider about accounts is applied as a whole.",
            "directory",
            record(
                "What was applied.",
                always("from_ver", or_null(whole("The Ver before; null: there was none."))),
                always("to_ver", whole("The Ver that is applied now.")),
                always("added", whole("So many accounts were added.")),
                always("updated", whole("So many accounts changed.")),
                always("deleted", whole("So many accounts were deleted.")),
                always("initial", flag("true: the first fill, which publishes this one event only.")),
            ),
        ),
        EventType(
            events.DIRECTORY_HELD,
            "An answer of the provider about accounts was not applied, or not all of it.",
            "directory",
            record(
                "What was not applied.",
                always("from_ver", or_null(whole("The Ver that was asked from; null: everything was asked for."))),
                always("to_ver", or_null(whole("The Ver of the answer; null: it had none."))),
                always("why", text("Why, in words for an operator.")),
                always("deleted", whole("So many deletions wait for an operator; 0: the answer was not believed.")),
            ),
        ),
    )


def _system() -> tuple[EventType, ...]:
    states: tuple[tuple[str, str], ...] = (
        (events.UPSTREAM_CONNECTED, "The connection to the provider stands."),
        (events.UPSTREAM_DEGRADED, "The connection to the provider is silent, or was refused repeatedly."),
        (events.UPSTREAM_DISCONNECTED, "There is no connection to the provider."),
    )
    return (
        *(
            EventType(
                type,
                meaning,
                "system",
                record("The state.", always("since", moment("Since when.")), always("why", text("Why; may be empty."))),
            )
            for type, meaning in states
        ),
        EventType(
            events.UPSTREAM_MISSED,
            "What was pushed in a span of time is lost; counts are asked for again.",
            "system",
            record(
                "The span.",
                *_span("When it began.", "When it ended."),
                sometimes("why", text("Only a part is lost: why.")),
            ),
        ),
        EventType(
            events.UPSTREAM_CONFLICT,
            "Another listener keeps taking the connection; the bridge leaves it alone for a while.",
            "system",
            record(
                "The pause.",
                *_span("When it began.", "The bridge does not listen before."),
                always("why", text("Why.")),
            ),
        ),
        EventType(
            events.EDGE_DEAF,
            "An edge's connection to Redis was open and silent; what was missed was read from the history.",
            "system",
            record(
                "The edge.",
                always("edge", text("Host and process.")),
                *_span("When it began.", "When it was opened again."),
            ),
        ),
        EventType(
            events.LEADER_CHANGED,
            "Another worker leads.",
            "system",
            record(
                "The leader.",
                always("fence", whole("Counts the leaders.")),
                always("generation", whole("The generation of what is stored; a new one: Redis went back.")),
            ),
        ),
    )


EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {each.type: each for each in (*_mails(), *_directory(), *_system())}
)
"""Every type, by its name."""


def upstream_state() -> Schema:
    """The state of the provider connection."""
    return choice(
        "connected; degraded: open and silent, or refused repeatedly; disconnected.",
        "connected",
        "degraded",
        "disconnected",
    )
