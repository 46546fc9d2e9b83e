"""The result of opening a mailbox for a new connection."""

from __future__ import annotations

from typing import NamedTuple

from bridge.edge.tail import Tail
from bridge.journal.opened import Opened
from bridge.journal.standing import Standing


class Opening(NamedTuple):
    """What a new connection starts from.

    ``news`` and ``rounds``: how many there had been when it was asked for, so that it can tell what it missed since.
    """

    tail: Tail
    opened: Opened
    standing: Standing
    news: int
    rounds: int
