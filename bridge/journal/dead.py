"""Documents that could not be read: what ``{ns}:dead`` holds. Reads only; the leader buries and takes out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from redis.asyncio import Redis

from bridge.journal.calls import Kept
from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_PIECE: Final = 100
_ID: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}", re.ASCII)
_ESCAPED: Final = re.compile(rb"\\[uU]([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class DeadDocument:
    """One entry. ``size``: bytes that came; ``document``: what was kept of them, as ``kept`` tells."""

    id: str
    reason: str
    size: int
    kept: Kept
    document: bytes

    @property
    def time_s(self) -> float:
        """When it was buried, by Redis's clock, in epoch seconds."""
        return int(self.id.partition("-")[0]) / 1000


class DeadDocuments:
    """Reads the stream of one namespace.

    Raises (every method):
        JournalAway, JournalRefused
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._keys = keys

    async def count(self) -> int:
        """How many there are."""
        with translated():
            return await self._redis.xlen(self._keys.dead)

    async def newest(self, most: int | None = None) -> AsyncIterator[DeadDocument]:
        """The newest first, all or the first ``most``, read in pieces."""
        end = "+"
        while most is None or most > 0:
            count = _PIECE if most is None else min(most, _PIECE)
            with translated():
                entries = await self._redis.xrevrange(self._keys.dead, end, "-", count=count)
            for id, fields in entries:
                yield _read(id, fields)
            if len(entries) < count:
                return
            most = None if most is None else most - count
            end = f"({entries[-1][0].decode()}"

    async def find(self, ids: Sequence[str]) -> list[DeadDocument | None]:
        """These entries, in order; ``None`` for one that is not there (any more)."""
        if not ids:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for id in ids:
            pipeline.xrange(self._keys.dead, id, id)
        with translated():
            answers = await pipeline.execute()
        return [_read(*entries[0]) if entries else None for entries in answers]


def is_entry_id(text: str) -> bool:
    """Whether this can be the id of an entry."""
    return _ID.fullmatch(text) is not None


def names_any(document: bytes, addresses: Collection[bytes]) -> bool:
    """Whether any of these addresses, in lower case, stands anywhere in a document, in any case and escaped or not.

    Rather too often: ``bob@x.cn`` stands in ``jimbob@x.cn`` too.
    """
    text = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)).encode("utf-8", "ignore"), document).lower()
    # Of bytes only ASCII has a lower case, as of addresses.
    return any(address in text for address in addresses)


def _read(id: bytes, fields: Mapping[bytes, bytes]) -> DeadDocument:
    return DeadDocument(
        id.decode(),
        fields[b"reason"].decode(),
        int(fields[b"size"]),
        cast(Kept, fields[b"kept"].decode()),
        fields[b"document"],
    )
