"""Keep Python's cycle collector from delaying mails, in a worker and in an edge.

A full collection walks through everything: a program's own code alone takes it 50 ms, ten thousand connections tens
more, and it finds nothing. Connections are part of no reference cycle, and the cycle in a closed transport is broken
(:mod:`bridge.obs.acceptor`). So long-lived objects are frozen, and collections made rarer.
"""

from __future__ import annotations

import gc
from typing import Final

_GROWTH: Final = 1000


class Garbage:
    """Tunes the collector; call :meth:`grown` now and then with the number of connections."""

    def __init__(self) -> None:
        self._frozen_at = 0
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 50)

    def grown(self, connections: int) -> None:
        """Freeze again when the number has grown much; unfreeze when most connections have gone."""
        if connections > self._frozen_at + _GROWTH:
            self._frozen_at = connections
            gc.freeze()
        elif connections < self._frozen_at // 2:
            self._frozen_at = connections
            gc.unfreeze()
