"""Every JSON answer of the edge to a plain request, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from bridge.events import MAIL_MISSED, MAIL_NEW, MAIL_UNREAD
from bridge.obs.labels import Click, Refusal
from bridge.schemas.members import (
    Schema,
    address,
    always,
    flag,
    listing,
    moment,
    or_null,
    position,
    record,
    text,
    whole,
)

# A click says "opened" when it is let in; the two others are said where no handler is reached.
_CHECKS: Final = tuple(sorted({*get_args(Refusal), *get_args(Click), "request", "internal"} - {"opened"}))
_OF_A_MAILBOX: Final = (MAIL_NEW, MAIL_UNREAD, MAIL_MISSED)

ANSWERS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        "Unread": record(
            "The count of a mailbox.",
            always("mailbox", address("The account's main address.")),
            always("unread", or_null(whole("Unread mails; null: not known."))),
            always("as_of", or_null(moment("When the count was true; null: not known."))),
        ),
        "History": record(
            "A page of a mailbox's events.",
            always(
                "events",
                listing(
                    "Oldest first.",
                    {"oneOf": [{"$ref": f"#/components/schemas/{type}"} for type in _OF_A_MAILBOX]},
                    most=200,
                ),
            ),
            always("position", position("Ask for the next page after it, or open a connection after it.")),
            always("more", flag("There are later events: ask again.")),
            always("complete", flag("Nothing is missing between after and the first event.")),
        ),
        "Ticket": record(
            "A credential for one connection.",
            always("ticket", text("For the query ?ticket=, once.")),
            always("expires_in", whole("It has to be used within so many seconds.", least=1)),
            always(
                "session",
                or_null(text("Equal for all tickets of one session that name the same mailboxes; opens nothing.")),
            ),
        ),
        "Refusal": record(
            "Why a request is not served.",
            always("error", text("Which check failed.", known=_CHECKS)),
            always("message", text("What was looked at, in words.")),
        ),
    }
)
"""The answers' schemas, by the names that they have in OpenAPI."""

KICK: Final[Schema] = {
    **record("What to end: a mailbox's connections, a session, or a session's connections to a mailbox."),
    "properties": {"mailbox": text("A mail address."), "sid": text("The session's sid.")},
    "minProperties": 1,
    "additionalProperties": False,
}
"""The body of ``POST /kick``."""
