"""The layout of the data, ``{ns}:format``. Whoever only reads looks at it too: a newer one may mean other things."""

from __future__ import annotations

from typing import Any

from bridge.journal.errors import FormatTooNew, JournalSpoilt, translated
from bridge.journal.keys import Keys
from bridge.journal.writer import FORMAT


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
