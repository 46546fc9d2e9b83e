"""One token for all processes: two clients, each with a Redis connection of its own, as two processes have them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.keys import Keys
from bridge.journal.tokens import RedisTokenStore
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.token import MemoryTokenStore, Token
from bridge.provider.faults import CredentialsRefused
from bridge.simulator import Simulator, World
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import running_worker

BOB = "bob@gzdev.com"
KEYS = Keys("exmail")


@asynccontextmanager
async def process(redis_url: str, simulator: Simulator) -> AsyncIterator[ProviderClient]:
    """A client as another process has it: nothing is shared but Redis."""
    redis = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    async with aiohttp.ClientSession() as session:
        yield ProviderClient(
            api_url=simulator.url,
            auth_url=simulator.url,
            client_id=simulator.world.client_id,
            client_secret=lambda: simulator.world.client_secret,
            session=session,
            tokens=RedisTokenStore(redis, KEYS, Token, corporation="bizmail:test"),
            busy_wait_s=0,
        )
    await redis.aclose()


@pytest.fixture
def long_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fetches a token for all may stand still for longer than it would be waited for."""
    monkeypatch.setattr("bridge.journal.tokens._LOCK_MS", int(PATIENCE_S * 1000))


@pytest.fixture(params=[True, False], ids=["new kills old", "new leaves old"])
async def simulator(request: pytest.FixtureRequest, long_lock: None) -> AsyncIterator[Simulator]:
    world = World(1, users=3)
    world.tokens.kills_old = request.param
    async with await Simulator.start(world) as running:
        yield running


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_many_callers_fetch_one_token(redis_url: str, simulator: Simulator, stack: AsyncExitStack) -> None:
    """Whoever comes first fetches, the others of both processes wait and take what it got."""
    first, second = [await stack.enter_async_context(process(redis_url, simulator)) for _ in range(2)]
    simulator.faults.on("delay", endpoint="token", value=0.2, times=1)
    counts = await asyncio.gather(*(client.newcount(BOB) for client in (first, second) for _ in range(20)))
    assert len(set(counts)) == 1
    assert simulator.calls.count("token") == 1
    assert await first.token() == await second.token()


async def test_a_token_that_died_is_renewed_once(redis_url: str, simulator: Simulator, stack: AsyncExitStack) -> None:
    """All callers of both processes are refused at once: one of them renews it for all."""
    first, second = [await stack.enter_async_context(process(redis_url, simulator)) for _ in range(2)]
    await first.newcount(BOB)
    await second.newcount(BOB)
    simulator.world.tokens.expire()
    await asyncio.gather(*(client.newcount(BOB) for client in (first, second) for _ in range(20)))
    assert simulator.calls.count("token") == 2


async def test_a_newer_token_is_taken_over(redis_url: str, simulator: Simulator, stack: AsyncExitStack) -> None:
    """Refused with an old one, a process looks at what is stored before it fetches."""
    first, second = [await stack.enter_async_context(process(redis_url, simulator)) for _ in range(2)]
    await first.newcount(BOB)
    await second.newcount(BOB)
    simulator.world.tokens.expire()
    await first.newcount(BOB)
    await second.newcount(BOB)
    assert simulator.calls.count("token") == 2


async def test_a_holder_that_lives_keeps_the_lock(redis_url: str) -> None:
    """However long the provider takes; one that died is waited for no longer than a few seconds."""
    redis: Any = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    async with RedisTokenStore(redis, KEYS, Token, corporation="bizmail:test").lock():
        first_ms = await redis.pttl(KEYS.token_lock)
        assert 0 < first_ms <= 3000
        await until(lambda: less_than(redis, first_ms - 500))
        await until(lambda: more_than(redis, first_ms - 100))
    assert await redis.pttl(KEYS.token_lock) == -2
    await redis.aclose()


async def less_than(redis: Any, left_ms: int) -> bool:
    return bool(await redis.pttl(KEYS.token_lock) < left_ms)


async def more_than(redis: Any, left_ms: int) -> bool:
    return bool(await redis.pttl(KEYS.token_lock) > left_ms)


async def test_without_redis_each_goes_on_alone(
    own_server: EmbeddedServer, simulator: Simulator, stack: AsyncExitStack
) -> None:
    """A deaf listener is worse than a second token: where that kills the first, both renew and go on."""
    first, second = [await stack.enter_async_context(process(own_server.url, simulator)) for _ in range(2)]
    await first.newcount(BOB)
    own_server.kill()
    for client in (second, first, second, first):
        await client.newcount(BOB)
    assert simulator.calls.count("token") == (5 if simulator.world.tokens.kills_old else 2)
    own_server.restart()
    simulator.world.tokens.expire()
    before = simulator.calls.count("token")
    await asyncio.gather(*(client.newcount(BOB) for client in (first, second) for _ in range(5)))
    assert simulator.calls.count("token") == before + 1


async def test_a_client_for_each_web_request(simulator: Simulator) -> None:
    """Forty of them over one store in memory: one token, and nobody's is ended by another's."""
    store = MemoryTokenStore(lock_s=PATIENCE_S)

    async def request() -> int:
        async with aiohttp.ClientSession() as session:
            client = ProviderClient(
                api_url=simulator.url,
                auth_url=simulator.url,
                client_id=simulator.world.client_id,
                client_secret=lambda: simulator.world.client_secret,
                session=session,
                tokens=store,
                busy_wait_s=0,
            )
            return await client.newcount(BOB)

    counts = await asyncio.gather(*(request() for _ in range(40)))
    assert set(counts) == {simulator.world.unread[BOB]}
    assert simulator.calls.count("token") == 1


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"value":"t"}', b'{"value":"t","expires_at":"soon"}'])
async def test_what_is_no_token_is_none(
    redis_url: str, simulator: Simulator, stack: AsyncExitStack, stored: bytes
) -> None:
    """Whoever wrote it: the next one fetches, and replaces it."""
    first, second = [await stack.enter_async_context(process(redis_url, simulator)) for _ in range(2)]
    async with RedisAddress(redis_url).client(timeout_s=PATIENCE_S) as redis:
        await redis.set(KEYS.token, stored)
        await first.newcount(BOB)
    assert await second.token() == await first.token()
    assert simulator.calls.count("token") == 1


async def test_a_redis_that_will_not_do_it_is_a_store_that_is_away(
    redis_url: str, simulator: Simulator, stack: AsyncExitStack
) -> None:
    """Full, read-only, without rights: a program of its own gets one of our errors or none, never one of Redis's."""
    client = await stack.enter_async_context(process(redis_url, simulator))
    async with RedisAddress(redis_url).client(timeout_s=PATIENCE_S) as redis:
        await redis.hset(KEYS.token, "field", "of another type")
        assert await client.newcount(BOB) == simulator.world.unread[BOB]


async def test_who_got_no_token_keeps_the_others_from_asking_at_once(redis_url: str) -> None:
    """The lock is left to lapse after a failure, for a few seconds; who was only interrupted gives it back."""
    redis: Any = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    store = RedisTokenStore(redis, KEYS, Token, corporation="bizmail:test")
    with pytest.raises(asyncio.CancelledError):
        async with store.lock():
            raise asyncio.CancelledError
    assert await redis.pttl(KEYS.token_lock) == -2
    with pytest.raises(CredentialsRefused):
        async with store.lock():
            raise CredentialsRefused("", "invalid_client", "token")
    assert 0 < await redis.pttl(KEYS.token_lock) <= 3000
    await redis.aclose()


async def test_no_token_in_a_log_or_metric(
    redis_url: str, simulator: Simulator, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker's whole run at debug, with refusals, a renewal and a key for a click."""
    caplog.set_level(logging.DEBUG)
    other = await stack.enter_async_context(process(redis_url, simulator))
    async with running_worker(redis_url, simulator) as worker:
        await simulator.listeners.wait()
        used = list(simulator.world.tokens.good)
        simulator.push_errcode(1200)
        simulator.faults.on("errcode", endpoint="user/get", value=1301, times=1)
        simulator.world.modify_user(BOB, tel="1")
        key = await other.authkey(BOB)
        simulator.world.tokens.expire()
        await other.newcount(BOB)
        used += simulator.world.tokens.good
        metrics = worker.metrics.render().decode()
    assert len(set(used)) > 1
    told = "\n".join(f"{record.getMessage()} {vars(record)} {record.exc_info}" for record in caplog.records)
    assert "listen session ended" in told
    secrets: list[Any] = [*used, key.value, simulator.world.client_secret]
    assert not [secret for secret in secrets if secret in told or secret in metrics]
