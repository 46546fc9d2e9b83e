"""Names for the numbering of a mailbox: an epoch lasts until its positions may no longer be compared."""

from __future__ import annotations

import os
import string
from typing import Final

_LETTERS: Final = (string.ascii_lowercase + "234567").encode() * 8
"""For each of 256 bytes a letter; each of the 32 as often as the others."""


def new_epoch() -> str:
    """Eight random characters of ``[a-z0-9]``; the caller of the script gives them, Redis's random repeats itself."""
    return new_epochs(1)[0]


def new_epochs(n: int) -> list[str]:
    """So many of them: to ask the system once is most of what one costs."""
    letters = os.urandom(8 * n).translate(_LETTERS).decode()
    return [letters[at : at + 8] for at in range(0, 8 * n, 8)]
