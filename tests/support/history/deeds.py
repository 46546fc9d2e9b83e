"""The register of deeds: each breaks one part of a theatre and, after a while, lets it be whole again."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from tests.support.history.theatre import Theatre

Part = Literal["worker", "edge", "redis", "way", "provider", "directory"]
Deed = Callable[[Theatre, random.Random], Awaitable[None]]

DEEDS: Final[dict[str, tuple[Part, Deed]]] = {}


def breaks(part: Part) -> Callable[[Deed], Deed]:
    """Enter a deed under its name; two at a time must break different parts."""

    def entered(deed: Deed) -> Deed:
        DEEDS[deed.__name__] = (part, deed)
        return deed

    return entered
