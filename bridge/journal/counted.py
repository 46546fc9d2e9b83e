"""A mailbox's stored count, and whether it can be relied on.

The rule is the script's, ``is_doubtful`` in ``lua/reading.lua``; ``tests/journal/test_counted.py`` compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

COUNTED_FIELDS: Final = ("generation", "epoch", "seq", "unread", "as_of", "gap", "base", "suspect")
"""Fields of the mailbox's hash, in the order in which :func:`read_counted` takes them."""
_EPOCH: Final = re.compile(rb"[A-Za-z0-9]{8}")
_NUMBER: Final = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Counted:
    """A mailbox's stored count. ``as_of``: epoch ms. ``doubtful``: pushes may have been missed since then."""

    seq: int
    unread: int | None
    as_of: int | None
    doubtful: bool


def read_counted(fields: Sequence[bytes | None], *, generation: bytes | None, gap: bytes | None) -> Counted:
    """Read :data:`COUNTED_FIELDS`. ``gap``: the number of the newest gap.

    What an older generation stored counts as absent, and as doubtful if it had a count, because mails may have been
    missed in between. After a proven loss the script ignores that count; here it still is doubtful, so that the
    provider is asked. What the script did not store counts as it does there (``sound_state``).
    """
    of, epoch, seq, unread, as_of, stored_gap, base, suspect = fields
    position = None if epoch is None or not _EPOCH.fullmatch(epoch) else _number(seq)
    if position is None or of != generation:
        return Counted(0, None, None, doubtful=base is not None or unread is not None)
    gap = gap or b"0"
    doubtful = suspect != gap if base is not None else unread is not None and (stored_gap or b"0") != gap
    return Counted(position, _number(unread), _number(as_of), doubtful=doubtful)


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None
