"""What the checks work with: the settings of each program, and how to reach Redis as one of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bridge.app.parts import redis_address
from bridge.doctor.finding import NotJudged
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.settings import Settings

Program = Literal["worker", "edge", "signon"]

SUCCESSOR_URL = "https://api.exmail.qq.com/cgi-bin"
"""Where the provider's newer API answers, to which credentials may belong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """``units``: the settings of each program that is judged, as its unit has them. ``operator``: those to ask Redis
    with. ``problems``: what is wrong with the settings of a program that is not among the units.

    ``prometheus``: its URL, empty if none was given. ``passwords``: a directory with a file for each user of Redis.
    ``idle_s``: for how long the round trip looks whether a quiet connection stays; 0: not at all. ``wall``: this
    machine's clock, epoch seconds.
    """

    units: Mapping[Program, Settings]
    operator: Settings | None
    problems: Mapping[Program, tuple[str, ...]] = field(default_factory=dict)
    prometheus: str = ""
    passwords: Path | None = None
    idle_s: float = 0.0
    successor_url: str = SUCCESSOR_URL
    wall: Callable[[], float] = time.time

    def of(self, *programs: Program) -> Settings:
        """The settings of the first of these programs that is judged.

        Raises:
            NotJudged: none of them is.
        """
        for program in programs:
            if program in self.units:
                return self.units[program]
        raise NotJudged("program-left-out", by_choice=not self.problems, program=" / ".join(programs))

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[tuple[Any, Keys]]:
        """A client of Redis as the operator's settings have it, and the names there, until the end of the block.

        Raises:
            NotJudged: there are no settings, or Redis does not answer or refuses; the check of Redis says more.
        """
        settings = self.operator or self.of("worker", "edge", "signon")
        client = redis_address(settings).client(timeout_s=5.0)
        try:
            yield client, Keys(settings.namespace)
        except JournalError as error:
            raise NotJudged("needs-redis", error=error) from error
        finally:
            await client.aclose()
