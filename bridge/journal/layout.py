"""The layout of the data: its number, ``{ns}:format``, and the types of the keys that concern everybody.

Programs that only read check it too: a newer layout may have other meanings, and a key of another type was written by
something else.
"""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import Client, typed
from bridge.journal.errors import FormatTooNew, JournalSpoilt, translated
from bridge.journal.keys import Keys

FORMAT: Final = 1
"""The newest layout that this program can read, and the one that it writes."""

_TYPES: Final = {
    "hash": ("directory", "slaves", "upstream", "owed"),
    "set": ("barred",),
    "zset": ("moved", "doubted", "online"),
    "stream": ("events", "dead", "audit"),
    "string": ("ver", "held", "generation"),
}


async def refuse_other_types(redis: Redis | Client, keys: Keys) -> None:
    """Refuse data in which a key that concerns everybody has the wrong type. Keys that we may not read are skipped.

    Raises:
        JournalAway, JournalRefused
        JournalSpoilt: one line with the key, its type and the right type.
    """
    wanted = [(getattr(keys, name), kind) for kind, names in _TYPES.items() for name in names]
    pipeline = typed(redis).pipeline(transaction=False)
    for key, _ in wanted:
        pipeline.type(key)
    with translated():
        found = await pipeline.execute(raise_on_error=False)
    for (key, kind), answer in zip(wanted, found, strict=True):
        if isinstance(answer, bytes) and answer.decode() not in ("none", kind):
            raise JournalSpoilt(
                f"{key} is a {answer.decode()}, and the bridge keeps a {kind} there: find out who writes into this "
                f"namespace, then delete the key (DEL {key})"
            )


async def refuse_newer(redis: Redis | Client, keys: Keys) -> None:
    """Refuse data whose layout this program does not know.

    Raises:
        JournalAway, JournalRefused, FormatTooNew
        JournalSpoilt: what is stored there is not a number.
    """
    with translated():
        written = await typed(redis).get(keys.format)
    if written is not None and not written.isdigit():
        raise JournalSpoilt(f"{keys.format} holds no number")
    if int(written or 0) > FORMAT:
        raise too_new(int(written or 0))


def too_new(written: int) -> FormatTooNew:
    """The refusal of a layout that only a newer program knows."""
    return FormatTooNew(f"the data have layout {written}, this program knows {FORMAT}")
