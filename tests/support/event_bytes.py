"""The head that the journal's script writes before an event, and what a reader may cut out of an event's bytes."""

from __future__ import annotations

import orjson

from bridge.events import Position


def event_head(position: Position) -> bytes:
    """The head that the journal's script writes before an event's body."""
    return b'{"specversion":"1.0","id":"%b","sequence":"%016d",' % (str(position).encode(), position.seq)


def unread_of(event: bytes) -> tuple[int | None, int] | None:
    """Cut ``(unread, as_of)`` out of a mailbox event's bytes; ``None`` if it carries none."""
    start = event.rfind(b'"unread":')
    stamp = event.rfind(b',"as_of":')
    if start < 0 or stamp < 0:
        return None
    data = orjson.loads(b"{" + event[start:].rstrip(b"}") + b"}")
    return data.get("unread"), data["as_of"]


def is_mail(event: bytes) -> bool:
    """Say whether these bytes are a ``exmail.mail.new``."""
    return b'"type":"exmail.mail.new"' in event
