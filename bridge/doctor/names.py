"""Whether the hosts in the settings are found."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlsplit

from bridge.app.online import unknown_names
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import found
from bridge.doctor.means import Means


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    said: set[str] = set()
    for program, settings in means.units.items():
        public = urlsplit(settings.edge.public_url).hostname if program == "edge" else None
        also = {"BRIDGE_EDGE_PUBLIC_URL": public} if public else {}
        for problem in await unknown_names(settings, program, also=also):
            if problem not in said:
                said.add(problem)
                yield found("name-unknown", problem=problem)


CHECK: Final = Check("names", _ask)
