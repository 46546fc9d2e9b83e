"""The registry of faults: each breaks one part of the running bridge and, after a while, mends it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from tests.support.history.harness import Harness

Part = Literal["worker", "edge", "redis", "way", "provider", "directory"]
Fault = Callable[[Harness, random.Random], Awaitable[None]]

REGISTRY: Final[dict[str, tuple[Part, Fault]]] = {}


def breaks(part: Part) -> Callable[[Fault], Fault]:
    """Register a fault under its name. Faults that are injected together must break different parts."""

    def entered(fault: Fault) -> Fault:
        REGISTRY[fault.__name__] = (part, fault)
        return fault

    return entered
