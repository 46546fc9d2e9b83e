"""Every frame that the edge sends of its own, declared once. They have no ``id``; events come between them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.access import codes
from bridge.events import MAIL_NEW
from bridge.schemas.events import EVENT_TYPES, upstream_state
from bridge.schemas.members import (
    DIALECT,
    Member,
    Schema,
    address,
    always,
    bare,
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


def _upstream() -> tuple[Member, ...]:
    return (
        always("state", upstream_state()),
        always("since", or_null(moment("Since when; null: never connected."))),
        always("why", text("Why; may be empty.")),
    )


def _snapshot() -> Schema:
    mail = bare(EVENT_TYPES[MAIL_NEW].schema)
    return record(
        "A mailbox at one moment.",
        always("mailbox", address("The account's main address.")),
        always("unread", or_null(whole("Unread mails; null: not known."))),
        always("as_of", or_null(moment("When the count was true; null: not known."))),
        always("position", position("The following events continue from here; resume after it.")),
        always("resumed", flag("true: what was missed follows; false: throw away what you have.")),
        sometimes("reason", choice("Why it was not resumed.", "first", "expired", "epoch")),
        sometimes("recent", listing("If not resumed: the newest mails, oldest first.", mail, most=20)),
        always("upstream", record("The state of the provider connection.", *_upstream())),
        always("known", flag("false: the bridge knows no such account.")),
        always(
            "session",
            or_null(text("Equal for all connections of one session that name the same mailboxes; opens nothing.")),
        ),
        always("expires_in", whole("The credential of this connection lasts so many seconds.")),
    )


def _why() -> tuple[Member, ...]:
    told = "; ".join(f"{code} {reason}" for code, reason in codes.REASONS.items() if code >= 3000)
    return (
        always("code", whole(f"{told}. 3500-3999 and 4500-4999: do not come back.", least=1000)),
        always("reason", text("The code in words.")),
    )


def _closing() -> Schema:
    return record(
        "Why the connection ends.",
        *_why(),
        always("retry_ms", whole("How long to wait before coming back, in milliseconds.")),
    )


def _frame(type: str, meaning: str, data: Schema) -> Schema:
    return {
        "$schema": DIALECT,
        "title": type,
        **record(meaning, always("type", constant(type)), always("data", data)),
    }


FRAMES: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        type: _frame(type, meaning, data)
        for type, meaning, data in (
            (
                "exmail.snapshot",
                "The first frame of a connection. On an open one: a gap cannot be filled, throw away what you have.",
                _snapshot(),
            ),
            ("exmail.upstream", "The provider connection changed.", record("The state.", *_upstream())),
            (
                "exmail.withdrawn",
                "With ?mailbox=* only: a mailbox is not shown on this connection, or not any more; the others are.",
                record("Which, and why.", always("mailbox", address("The mailbox.")), *_why()),
            ),
            ("exmail.heartbeat", "The connection is alive; every 25 seconds.", record("Nothing.")),
            ("exmail.closing", "The last frame of a connection.", _closing()),
        )
    }
)
"""The frames' schemas, by their type."""
