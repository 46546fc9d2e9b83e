"""A bare provider, a client of it, and sessions that are read in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.listen import ListenSession
from tests.provider.bare_provider import BareProvider
from tests.provider.listening import LONG_S, Listen, Listening
from tests.support.waiting import PATIENCE_S

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture
async def provider() -> AsyncIterator[BareProvider]:
    bare = BareProvider()
    server = await asyncio.start_server(bare.serve, "127.0.0.1", 0)
    bare.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield bare
    server.close()
    bare.close()
    await server.wait_closed()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def calls() -> list[tuple[str, str]]:
    """What the client reported: endpoint and outcome of each request."""
    return []


@pytest.fixture
def client(provider: BareProvider, http: aiohttp.ClientSession, calls: list[tuple[str, str]]) -> ProviderClient:
    return ProviderClient(
        api_url=provider.url,
        auth_url=provider.url,
        client_id="admin",
        client_secret=lambda: "key-of-admin",
        session=http,
        on_call=lambda endpoint, outcome, *_: calls.append((endpoint, outcome)),
        timeout_s=PATIENCE_S,
        busy_wait_s=0,
    )


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """An example of the protocol document, as printed."""
    return lambda name: (SAMPLES / f"{name}.json").read_bytes()


@pytest.fixture
async def leaping(leap: Callable[[float], None], monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``leap``, of which listen sessions know: so much time has passed, and nothing has run meanwhile."""
    defaults: Any = ListenSession.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "now", asyncio.get_running_loop().time)
    return leap


@pytest.fixture
def listen(client: ProviderClient) -> Listen:
    @asynccontextmanager
    async def listen(
        ver: int = 0, silence_s: float = LONG_S, settle_s: float = LONG_S, **callbacks: Callable[..., None]
    ) -> AsyncIterator[Listening]:
        async with client.listen(ver=lambda: ver, silence_s=silence_s, settle_s=settle_s) as session:
            listening = Listening(session, **callbacks)
            task = asyncio.create_task(listening.run(), name="listening")
            try:
                yield listening
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return listen
