"""What happened to an account, or shall happen: the provider's three numbers.

Apart from the other types, so that the table of endpoints can be read without the libraries that answers need.
"""

from __future__ import annotations

from enum import IntEnum


class Action(IntEnum):
    """What a line of ``user/list`` tells and ``user/sync``, ``party/sync`` are asked (protocol 3.3.2, 3.3.3, 3.3.5)."""

    DEL = 1
    ADD = 2
    MOD = 3
