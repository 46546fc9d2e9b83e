"""Record what a listen session brings, without asking anything: lengths, moments, and stand-ins for every text.

The session that stands is recorded, so nobody's place is taken. What was recorded is made safe before anybody gets it,
see :mod:`.redaction`.
"""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from .redaction import redacted

FORMAT: Final = "exmail-bridge listen 1"
MOST_BYTES: Final = 128 * 1024
MOST_S: Final = 600.0
_MOST_ENTRIES: Final = 10_000
_HEAD_MOST: Final = 2048
_HEAD_END: Final = b"\r\n\r\n"


class Recorder:
    """Hears every listen session of a client; keeps what comes while it is asked to. ``now``: monotonic seconds."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began_at = 0.0
        self._until = 0.0
        self._bytes = 0
        self._opening = b""
        self._awaits = False
        self._entries: list[tuple[float, Literal["asked", "ended"] | bytes]] | None = None

    def start(self, seconds: float) -> None:
        """Begin anew; what was recorded before is forgotten."""
        self._began_at = self._now()
        self._until = self._began_at + min(seconds, MOST_S)
        self._bytes = 0
        # What comes next may answer a question that was asked before.
        self._entries = [(0.0, "asked")] if self._awaits else []
        head, end, _ = self._opening.partition(_HEAD_END)
        if end and _stays_open(head):
            # What is read from now on goes on in this response, and means nothing without its head.
            self._entries = [(0.0, "asked"), (0.0, head + end)]

    def note(self, what: Literal["asked", "ended"] | bytes) -> None:
        """We asked, bytes came, or the connection ended."""
        self._awaits = what == "asked"
        if what == "ended":
            self._opening = b""
        elif isinstance(what, bytes) and len(self._opening) < _HEAD_MOST:
            self._opening = (self._opening + what)[:_HEAD_MOST]
        if self._entries is None or (now := self._now()) >= self._until:
            return
        if isinstance(what, bytes):
            self._bytes += len(what)
        if self._bytes <= MOST_BYTES and len(self._entries) < _MOST_ENTRIES:
            self._entries.append((now - self._began_at, what))

    def lines(self) -> list[dict[str, Any]] | None:
        """What was recorded, safe to hand on, a JSON object a line; ``None`` if nobody asked for it. Forgets it."""
        entries, self._entries = self._entries, None
        if entries is None:
            return None
        head = {
            "recording": FORMAT,
            "seconds": round(min(self._now(), self._until) - self._began_at, 1),
            "bytes": self._bytes,
            "cut": self._bytes > MOST_BYTES or len(entries) >= _MOST_ENTRIES,
        }
        return [head, *(_line(at, what) for at, what in _safe(entries))]


def _stays_open(head: bytes) -> bool:
    """Whether the response with this head lasts as long as its connection."""
    return b"content-length:" not in head.lower()


def _safe(
    entries: list[tuple[float, Literal["asked", "ended"] | bytes]],
) -> Iterator[tuple[float, Literal["asked", "ended"] | bytes]]:
    """The same with stand-ins. A text may be cut between two reads, so all of a connection is read as one."""
    key = secrets.token_bytes(32)
    session: list[tuple[float, Literal["asked", "ended"] | bytes]] = []
    for entry in (*entries, (0.0, "ended")):
        session.append(entry)
        if entry[1] != "ended":
            continue
        whole = redacted(b"".join(what for _, what in session if isinstance(what, bytes)), key)
        start = 0
        for at, what in session:
            if isinstance(what, bytes):
                yield at, whole[start : start + len(what)]
                start += len(what)
            elif (at, what) != (0.0, "ended"):
                yield at, what
        session = []


def _line(at: float, what: Literal["asked", "ended"] | bytes) -> dict[str, Any]:
    line: dict[str, Any] = {"at_ms": round(at * 1000)}
    if not isinstance(what, bytes):
        return line | {what: True}
    try:
        return line | {"text": what.decode()}
    except UnicodeDecodeError:
        return line | {"base64": b64encode(what).decode()}
