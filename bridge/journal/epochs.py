"""Names for the numbering of a mailbox: an epoch lasts until its positions may no longer be compared."""

from __future__ import annotations

import base64
import os


def new_epoch() -> str:
    """Eight random characters of ``[a-z0-9]``; the caller of the script gives them, Redis's random repeats itself."""
    return base64.b32encode(os.urandom(5)).decode().lower()
