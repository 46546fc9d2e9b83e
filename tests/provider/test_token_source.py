"""One token for all: fetched once, renewed once, shared between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.provider.errors import ProviderAway
from bridge.provider.token import MemoryTokenStore, Token, TokenSource


class Issuer:
    """Issues t1, t2, …; waits where the test holds it; says no while ``away``."""

    def __init__(self) -> None:
        self.fetches = 0
        self.away = False
        self.now_s = 1000.0
        self.fetching = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    def now(self) -> float:
        return self.now_s

    async def fetch(self) -> Token:
        self.fetches += 1
        issued = self.fetches
        self.fetching.set()
        await self.go_on.wait()
        if self.away:
            raise ProviderAway("token", "away")
        return Token(f"t{issued}", self.now_s + 100)


class AwayStore(MemoryTokenStore):
    """A store that cannot be reached, from the given operation on."""

    def __init__(self, failing: str) -> None:
        super().__init__()
        self.failing = failing

    async def get(self) -> Token | None:
        if self.failing == "get":
            raise ConnectionError
        return await super().get()

    async def put(self, token: Token) -> None:
        if self.failing == "put":
            raise ConnectionError
        await super().put(token)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        if self.failing == "lock":
            raise ConnectionError
        async with super().lock():
            yield
        if self.failing == "unlock":
            raise ConnectionError


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def source(issuer: Issuer, store: MemoryTokenStore | None = None) -> TokenSource:
    return TokenSource(store or MemoryTokenStore(), issuer.fetch, now=issuer.now)


async def test_one_fetch_for_all_who_ask(issuer: Issuer) -> None:
    """A hundred callers, one fetch."""
    issuer.go_on.clear()
    tokens = source(issuer)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(tokens.token()) for _ in range(100)]
        await issuer.fetching.wait()
        issuer.go_on.set()
    assert {task.result() for task in asked} == {"t1"}
    assert issuer.fetches == 1


async def test_one_renewal_for_all_who_were_refused(issuer: Issuer) -> None:
    """Whoever comes late with the old token gets the new one, not another."""
    tokens = source(issuer)
    assert await tokens.token() == "t1"
    renewed = await asyncio.gather(*(tokens.renew("t1") for _ in range(10)))
    assert set(renewed) == {"t2"}
    assert await tokens.renew("t1") == await tokens.token() == "t2"
    assert issuer.fetches == 2


async def test_failure_is_shared(issuer: Issuer) -> None:
    """Callers that waited for a fetch that failed do not each try again; a later one does."""
    issuer.go_on.clear()
    issuer.away = True
    tokens = source(issuer)
    asked = [asyncio.create_task(tokens.token()) for _ in range(10)]
    await issuer.fetching.wait()
    await asyncio.sleep(0)
    issuer.go_on.set()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ProviderAway}
    assert issuer.fetches == 1
    issuer.away = False
    assert await tokens.token() == "t2"


async def test_caller_that_gives_up_leaves_the_others_theirs(issuer: Issuer) -> None:
    """The fetching caller is cancelled: the next one fetches."""
    issuer.go_on.clear()
    tokens = source(issuer)
    first, second = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await issuer.fetching.wait()
    first.cancel()
    issuer.go_on.set()
    assert await second == "t2"
    assert first.cancelled()


async def test_expired_token_is_replaced(issuer: Issuer) -> None:
    """A token whose time is over is not used, from the store neither."""
    store = MemoryTokenStore()
    tokens = source(issuer, store)
    assert await tokens.token() == "t1"
    issuer.now_s += 100
    assert await tokens.token() == "t2"
    assert await store.get() == Token("t2", 1200)


async def test_processes_share_one_token(issuer: Issuer) -> None:
    """Two sources on one store: the second takes what the first fetched, and what it renewed."""
    store = MemoryTokenStore()
    one, two = source(issuer, store), source(issuer, store)
    assert await one.token() == await two.token() == "t1"
    assert await one.renew("t1") == "t2"
    assert await two.token() == "t1"
    assert await two.renew("t1") == "t2"
    assert issuer.fetches == 2


async def test_processes_fetch_one_at_a_time(issuer: Issuer) -> None:
    """Two processes that both need a token exclude each other through the store's lock."""
    store = MemoryTokenStore()
    issuer.go_on.clear()
    asked = [asyncio.create_task(source(issuer, store).token()) for _ in range(3)]
    await issuer.fetching.wait()
    issuer.go_on.set()
    assert await asyncio.gather(*asked) == ["t1"] * 3


@pytest.mark.parametrize("failing", ["lock", "get", "put", "unlock"])
async def test_without_the_store(issuer: Issuer, failing: str) -> None:
    """A store that is away costs the sharing, not the token: one fetch, kept in memory."""
    tokens = source(issuer, AwayStore(failing))
    assert await tokens.token() == "t1"
    assert await tokens.token() == "t1"
    assert await tokens.renew("t1") == "t2"
    assert issuer.fetches == 2


async def test_dropping_leaves_another_token_alone() -> None:
    """Only the refused token is forgotten."""
    store = MemoryTokenStore()
    await store.put(Token("new", 1))
    await store.drop("old")
    assert await store.get() == Token("new", 1)
    await store.drop("new")
    assert await store.get() is None


def test_token_is_not_in_its_repr() -> None:
    """A token that is printed by mistake shows nothing."""
    assert "secret" not in repr(Token("secret", 1))
