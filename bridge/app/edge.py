"""The edge: one process, or a parent that binds the port and children that inherit it."""

from __future__ import annotations

import asyncio
from bridge.settings import Settings


async def run_edge(settings: Settings, workers: int) -> None:
    raise NotImplementedError
