"""Keep Python's cycle collector out of the way of delivery.

A full collection looks at every object of ten thousand connections, for tens of milliseconds, and finds nothing:
connections hold no cycles, and closed transports let go of theirs (:mod:`bridge.obs.acceptor`). What is there for long
is therefore frozen, and collections come less often.
"""

from __future__ import annotations

import gc
from typing import Final

_GROWTH: Final = 1000


class Garbage:
    """Call :meth:`grown` now and then with the number of connections."""

    def __init__(self) -> None:
        self._frozen_at = 0
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 50)

    def grown(self, connections: int) -> None:
        """Freeze again after growth; let go of it after most have gone."""
        if connections > self._frozen_at + _GROWTH:
            self._frozen_at = connections
            gc.freeze()
        elif connections < self._frozen_at // 2:
            self._frozen_at = connections
            gc.unfreeze()
