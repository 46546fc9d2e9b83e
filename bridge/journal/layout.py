"""The layout of the data: its number, ``{ns}:format``, and the types of what concerns everybody.

Whoever only reads looks at it too: a newer layout may mean other things, and of a key that somebody else wrote nothing
can be believed.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.journal.errors import FormatTooNew, JournalSpoilt, translated
from bridge.journal.keys import Keys
from bridge.journal.writer import FORMAT

_TYPES: Final = {
    "hash": ("directory", "slaves", "upstream", "owed"),
    "set": ("barred",),
    "zset": ("moved", "doubted", "online"),
    "stream": ("events", "dead", "audit"),
    "string": ("ver", "held", "generation"),
}


async def refuse_other_types(redis: Any, keys: Keys) -> None:
    """Say no where a key that concerns everybody is of another type than ours; whoever may not look does not.

    Raises:
        JournalAway, JournalRefused
        JournalSpoilt: in one line which key, what it is and what it should be.
    """
    wanted = [(getattr(keys, name), kind) for kind, names in _TYPES.items() for name in names]
    pipeline = redis.pipeline(transaction=False)
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


async def refuse_newer(redis: Any, keys: Keys) -> None:
    """Say no where the data have a layout that this program does not know.

    Raises:
        JournalAway, JournalRefused, FormatTooNew
        JournalSpoilt: what stands there is no number.
    """
    with translated():
        written: bytes | None = await redis.get(keys.format)
    if written is None:
        return
    if not written.isdigit():
        raise JournalSpoilt(f"{keys.format} holds no number")
    if int(written) > FORMAT:
        raise FormatTooNew(f"the data have layout {int(written)}, this program knows {FORMAT}")
