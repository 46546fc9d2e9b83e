"""What a new connection is given."""

from __future__ import annotations

from typing import NamedTuple

from bridge.edge.tail import Tail
from bridge.journal.opened import Opened
from bridge.journal.standing import Standing


class Opening(NamedTuple):
    """What a new connection gets, and how many ``news`` and ``rounds`` there had been when it was asked for."""

    tail: Tail
    opened: Opened
    standing: Standing
    news: int
    rounds: int
