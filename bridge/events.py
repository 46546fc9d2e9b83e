"""The shared vocabulary: what the bridge publishes, as bytes that are built once.

An event is one JSON object in CloudEvents 1.0 form, the same bytes on Redis, WebSocket and SSE. The worker
builds everything but the head and the ``as_of`` stamp; the journal's script knows those two and puts the pieces
together. So the order of the members is part of the format: ``specversion, id, sequence`` first, and within
``data`` ``unread`` and ``as_of`` last. Readers cut what they need out of the bytes instead of parsing them.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
import orjson

MAIL_NEW: Final = "exmail.mail.new"
MAIL_UNREAD: Final = "exmail.mail.unread"
MAIL_MISSED: Final = "exmail.mail.missed"
USER_ADDED: Final = "exmail.directory.user.added"
USER_UPDATED: Final = "exmail.directory.user.updated"
USER_DELETED: Final = "exmail.directory.user.deleted"
DIRECTORY_SYNCED: Final = "exmail.directory.synced"
DIRECTORY_HELD: Final = "exmail.directory.held"
UPSTREAM_CONNECTED: Final = "exmail.upstream.connected"
UPSTREAM_DISCONNECTED: Final = "exmail.upstream.disconnected"
UPSTREAM_DEGRADED: Final = "exmail.upstream.degraded"
UPSTREAM_MISSED: Final = "exmail.upstream.missed"
UPSTREAM_CONFLICT: Final = "exmail.upstream.conflict"
EDGE_DEAF: Final = "exmail.edge.deaf"
LEADER_CHANGED: Final = "exmail.leader.changed"

DIRECTORY: Final = "directory"
"""Name of the stream of member events; no address can take it, addresses hold an ``@``."""
SYSTEM: Final = "system"
"""Name of the stream of events about the bridge itself."""
CANARY: Final = "canary"
"""Name of the reserved stream, whose events try the way and tell nobody anything: an operator opens it, and no browser
can, because no credential can name it."""

UpstreamState = Literal["connected", "degraded", "disconnected"]

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_POSITION = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]{0,17})", re.ASCII)
# Control characters (NUL, CR, LF among them), bidi controls and white space end up in logs, channel names and
# headers; no real address has them.
_ADDRESS = re.compile(
    r"[^\s@\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,128}@[^\s@\x00-\x20\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069/]{1,190}"
)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in one stream. ``seq`` counts 1, 2, 3 … within ``epoch``; 0 is before the first event."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


def parse_position(text: str) -> Position | None:
    """Read a position that a client sends; ``None`` if the text is not one."""
    match = _POSITION.fullmatch(text)
    return Position(match[1], int(match[2])) if match else None


def normalise_address(text: str) -> str | None:
    """Trim an address and lower-case its ASCII letters; ``None`` if the text cannot be an address.

    Other letters stay as they are: Unicode's rules would merge addresses that a mail server distinguishes, such as
    ``kevin@`` written with the Kelvin sign.
    """
    address = text.strip()
    address = address.lower() if address.isascii() else address.translate(_LOWER)
    return address if _ADDRESS.fullmatch(address) else None


# A struct, not a dataclass: two are built for each mail.
class Event(msgspec.Struct, frozen=True, gc=False):
    """An event that the journal has not numbered yet.

    ``body`` is the JSON from ``"source"`` on. If ``stamped``, it ends in ``"as_of":`` (or another member's name), and
    the journal adds the stamp and the closing braces; otherwise it is complete.
    """

    type: str
    stream: str
    body: bytes
    stamped: bool = False


@lru_cache(maxsize=4)
def timestamp(epoch_s: float) -> str:
    """RFC 3339 in UTC with milliseconds, as in the ``time`` member. Of what was read together all have the same."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def build_event(
    *,
    namespace: str,
    stream: str,
    type: str,
    time_s: float,
    data: dict[str, Any],
    stamped: bool = False,
    stamp: str = "as_of",
) -> Event:
    """Build an event.

    ``stream`` is an address, :data:`DIRECTORY` or :data:`SYSTEM`. ``time_s``: when it happened, epoch seconds. If
    ``stamped``, the journal adds ``as_of`` (epoch ms of Redis's clock) as the last member of ``data``, or other members
    that begin with ``stamp``.
    """
    mailbox = "@" in stream
    source = f"/{namespace}/mailbox/{stream}" if mailbox else f"/{namespace}/{stream}"
    head: dict[str, Any] = {"source": source, "type": type}
    if mailbox:
        head["subject"] = stream
    elif "alias" in data:
        head["subject"] = data["alias"]
    head["time"] = timestamp(time_s)
    head["datacontenttype"] = "application/json"
    head["data"] = data
    body = orjson.dumps(head)[1:]
    if stamped:
        body = body[:-2] + b'%b"%b":' % (b"," if data else b"", stamp.encode())
    return Event(type, stream, body, stamped)


_ID_START: Final = len(b'{"specversion":"1.0","id":"')
_SEQ_START: Final = _ID_START + 9
_EPOCH_END: Final = _SEQ_START - 1
_SEQ_END: Final = _SEQ_START + 20


def head_of(event: bytes) -> tuple[bytes, int]:
    """Cut ``(epoch, seq)`` out of an event's bytes; fast, for bytes that come from the journal.

    Raises:
        ValueError: these bytes are not an event of ours.
    """
    return event[_ID_START:_EPOCH_END], int(event[_SEQ_START : event.index(b'"', _SEQ_START, _SEQ_END)])


def position_of(event: bytes) -> Position:
    """Cut the position out of an event's bytes.

    Raises:
        ValueError: these bytes are not an event of ours.
    """
    end = event.find(b'"', _ID_START, _ID_START + 40)
    position = parse_position(event[_ID_START:end].decode("ascii", "replace")) if end > 0 else None
    if position is None:
        raise ValueError("not an event of this bridge: no position at its head")
    return position


def time_of(event: bytes) -> float | None:
    """Cut ``time`` out of an event's bytes, as epoch seconds; ``None`` if there is none.

    Quotes inside strings are escaped, so the first ``"time":"`` is the member.
    """
    start = event.find(b'"time":"')
    if start < 0:
        return None
    text = event[start + 8 : start + 32].decode("ascii", "replace")
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def addresses_of(event: bytes) -> tuple[str, ...]:
    """The addresses in a directory event: the account, and the slaves in its profile."""
    data = orjson.loads(event)["data"]
    if "alias" not in data:
        return ()
    return (data["alias"], *data.get("profile", {}).get("slaves", ()))


def embedded(event: bytes) -> Any:
    """Mark an event's bytes as JSON, for use inside a value that :func:`to_json` encodes."""
    return orjson.Fragment(event)


def to_json(value: Any) -> bytes:
    """Encode as JSON (frames, profiles, answers)."""
    return orjson.dumps(value)


def from_json(text: bytes) -> Any:
    """Decode JSON that :func:`to_json` wrote."""
    return orjson.loads(text)
