"""Documents that could not be read: the stream ``{ns}:dead``. Reads only; the leader adds and deletes."""

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
    """One entry. ``size``: the document's length when it came; ``document``: what was kept of it, see ``kept``."""

    id: str
    reason: str
    size: int
    kept: Kept
    document: bytes

    @property
    def time_s(self) -> float:
        """When it was stored, in epoch seconds by Redis's clock."""
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
        """The number of entries."""
        with translated():
            return await self._redis.xlen(self._keys.dead)

    async def newest(self, most: int | None = None) -> AsyncIterator[DeadDocument]:
        """All entries, or at most ``most``, newest first; they are read in pieces."""
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
        """The entries with these ids, in this order; ``None`` for one that does not exist."""
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
    """Whether a document contains any of these addresses (given in lower case), in any case, escaped or not.

    It errs on the safe side: ``bob@x.cn`` is also found in ``jimbob@x.cn``.
    """
    text = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)).encode("utf-8", "ignore"), document).lower()
    # bytes.lower() changes ASCII letters only, as addresses are lower-cased.
    return any(address in text for address in addresses)


def _read(id: bytes, fields: Mapping[bytes, bytes]) -> DeadDocument:
    return DeadDocument(
        id.decode(),
        fields[b"reason"].decode(),
        int(fields[b"size"]),
        cast(Kept, fields[b"kept"].decode()),
        fields[b"document"],
    )
