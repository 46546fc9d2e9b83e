"""A worker makes a hundred thousand calls in a row, and Python's collector stops it for what refers to itself."""

from __future__ import annotations

import gc

import aiohttp

from bridge.provider.bizmail.client import ProviderClient
from bridge.simulator import Simulator, World

CALLS = 50


async def test_a_call_leaves_nothing_to_the_collector(http: aiohttp.ClientSession) -> None:
    """What it was made of is freed when it has its answer."""
    world = World(users=CALLS)
    async with await Simulator.start(world) as simulator:
        client = ProviderClient(
            client_id=world.client_id,
            client_secret=world.client_secret,
            api_url=simulator.url,
            auth_url=simulator.url,
            session=http,
        )
        aliases = list(world.accounts)
        await client.user_get(aliases[0])
        gc.collect()
        gc.disable()
        try:
            for alias in aliases:
                await client.user_get(alias)
            # Less than one object a call: connections may come and go.
            assert gc.collect() < CALLS
        finally:
            gc.enable()
