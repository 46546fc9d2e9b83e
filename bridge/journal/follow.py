"""Follow ``{ns}:events`` as any other service may: every event of every kind, from a given place on.

The stream is read instead of the channels, because a reader that was disconnected can continue where it was. Redis
skips trimmed and deleted entries silently, but the ids show it: they are ``<generation>-<n>``, with n counting up by
one.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final, Self

from bridge.events import time_of
from bridge.journal.client import typed
from bridge.journal.clock import redis_now_us
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import NotLetIn, translated
from bridge.journal.keys import Keys
from bridge.journal.layout import refuse_newer

_ID: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,18})", re.ASCII)
_BATCH: Final = 500
_ANSWER_S: Final = 5.0


@dataclass(frozen=True, slots=True, order=True)
class StreamId:
    """A place in ``{ns}:events``. ``generation``: epoch ms of its beginning; ``n`` counts 0, 1, 2 … within it."""

    generation: int
    n: int

    def __str__(self) -> str:
        return f"{self.generation}-{self.n}"


BEGINNING: Final = StreamId(0, 0)
"""The place before every entry: generations are far greater than 0."""


def parse_stream_id(text: str) -> StreamId | None:
    """Read an id; ``None`` if the text is not one."""
    match = _ID.fullmatch(text)
    return StreamId(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Followed:
    """One entry. ``gap`` says in a few words what is missing before it; ``None``: nothing is."""

    id: StreamId
    type: str
    event: bytes
    gap: str | None


class Follower:
    """One reader of a namespace's events. ``block_s``: how long :meth:`read` waits for the next one.

    It has a client of its own, because a blocking read needs a longer socket timeout than other commands.
    """

    def __init__(self, address: RedisAddress, keys: Keys, *, block_s: float = 5.0) -> None:
        self._redis = typed(address.client(timeout_s=block_s + _ANSWER_S, connections=1))
        self._keys = keys
        self._block_s = block_s
        self._last = BEGINNING

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._redis.aclose()

    @property
    def last(self) -> StreamId:
        """Where the next :meth:`read` continues; store it to continue there later."""
        return self._last

    async def now(self) -> float:
        """Redis's clock, which events were stamped by; this machine's if our user may not ask. Epoch seconds.

        Raises:
            JournalAway, JournalRefused
        """
        try:
            return await redis_now_us(self._redis) / 1e6
        except NotLetIn:
            return time.time()

    async def start(self, since: StreamId | float | None = None) -> None:
        """Choose where to begin: after an id, with the events since a time (epoch seconds), or with future ones.

        Raises:
            JournalAway, JournalRefused, FormatTooNew, JournalSpoilt
        """
        await refuse_newer(self._redis, self._keys)
        with translated():
            if isinstance(since, StreamId):
                self._last = since
            else:
                self._last = await self._newest_before(since)

    async def newest(self) -> StreamId:
        """The newest entry of all that are there; :data:`BEGINNING` if there is none.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            return await self._newest_before(None)

    async def read(self, *, waits: bool = True) -> list[Followed]:
        """The next entries, oldest first; empty when none came for ``block_s``, or at once if it does not wait.

        Raises:
            JournalAway: ask again; nothing is lost by it.
            JournalRefused
        """
        with translated():
            answer = await self._redis.xread(
                {self._keys.events: str(self._last)},
                count=_BATCH,
                block=int(self._block_s * 1000) if waits else None,
            )
        return [self._take(*entry) for _, entries in answer or () for entry in entries]

    def _take(self, raw_id: bytes, fields: dict[bytes, bytes]) -> Followed:
        id = _stream_id(raw_id)
        gap = gap_between(self._last, id)
        self._last = id
        return Followed(id, fields[b"type"].decode(), fields[b"event"], gap)

    async def _newest_before(self, time_s: float | None) -> StreamId:
        """The newest entry, or the newest one older than ``time_s``. The ids contain no time, so events are read."""
        last = "+"
        while entries := await self._redis.xrevrange(
            self._keys.events, last, "-", count=1 if time_s is None else _BATCH
        ):
            for raw_id, fields in entries:
                if time_s is None or (time_of(fields[b"event"]) or time_s) < time_s:
                    return _stream_id(raw_id)
            last = f"({entries[-1][0].decode()}"
        return BEGINNING


def gap_between(last: StreamId, next: StreamId) -> str | None:
    """Say what is missing between two entries that were read one after the other; ``None``: nothing is."""
    if next.generation == last.generation:
        lost = next.n - last.n - 1
        return f"{lost} events are gone: the stream was trimmed, or somebody was forgotten" if lost else None
    if last == BEGINNING:
        return f"{next.n} older events are gone, the stream was trimmed" if next.n else None
    return "a new generation began, Redis went back: events may be gone"


def _stream_id(raw: bytes) -> StreamId:
    generation, _, n = raw.partition(b"-")
    return StreamId(int(generation), int(n))
