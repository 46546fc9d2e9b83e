"""One token for all: fetched once, renewed once, shared between processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from bridge.provider.bizmail.token import FORGET_S, REST_FIRST_S, REST_MOST_S, MemoryTokenStore, Token, TokenSource
from bridge.provider.faults import CredentialsRefused, InvalidToken, ProviderAway
from tests.support.waiting import PATIENCE_S


class Issuer:
    """Issues t1, t2, …; waits where the test holds it; says no while ``away``."""

    def __init__(self) -> None:
        self.fetches = 0
        self.away = False
        self.refusal: Exception | None = None
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
        if self.refusal is not None:
            raise self.refusal
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
    return TokenSource(store or MemoryTokenStore(), issuer.fetch, now=issuer.now, clock=issuer.now)


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


WRONG = CredentialsRefused("", "invalid_client", "token")


async def test_a_refusal_is_shared_for_a_while(issuer: Issuer) -> None:
    """Whoever asks meanwhile gets it, and the provider is not asked: for a second at first, then for twice as long."""
    tokens = source(issuer)
    issuer.refusal = WRONG
    asked_at: list[float] = []
    for _ in range(400):
        before = issuer.fetches
        outcomes = await asyncio.gather(*(tokens.token() for _ in range(4)), return_exceptions=True)
        assert {type(each) for each in outcomes} == {CredentialsRefused}
        assert {str(each) for each in outcomes} == {str(WRONG)}
        if issuer.fetches > before:
            assert issuer.fetches == before + 1
            asked_at.append(issuer.now_s)
        issuer.now_s += 0.5
    assert [later - earlier for earlier, later in pairwise(asked_at)] == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_refusal_is_raised_anew_for_each(issuer: Issuer) -> None:
    """One exception that is raised over and over would collect their tracebacks."""
    tokens = source(issuer)
    issuer.refusal = WRONG
    outcomes = await asyncio.gather(*(tokens.token() for _ in range(3)), return_exceptions=True)
    assert len({id(each) for each in outcomes}) == 3


async def test_what_passes_is_asked_again_at_once(issuer: Issuer) -> None:
    """A provider that was away has not refused us."""
    tokens = source(issuer)
    issuer.away = True
    for _ in range(3):
        with pytest.raises(ProviderAway):
            await tokens.token()
    assert issuer.fetches == 3


async def test_credentials_that_were_put_right(issuer: Issuer) -> None:
    """Are used when the pause is over; an old refusal is no reason to wait longer for the next."""
    tokens = source(issuer)
    issuer.refusal = WRONG
    for _ in range(4):
        with pytest.raises(CredentialsRefused):
            await tokens.token()
        issuer.now_s += REST_MOST_S
    issuer.refusal = None
    assert await tokens.token() == "t5"
    issuer.refusal = WRONG
    issuer.now_s += FORGET_S
    with pytest.raises(CredentialsRefused):
        await tokens.token()
    issuer.refusal = None
    issuer.now_s += REST_FIRST_S
    assert await tokens.token() == "t7"


async def test_a_new_token_that_is_refused_too(issuer: Issuer) -> None:
    """Fetching another is no help: whoever is refused meanwhile hears of that, and the token endpoint nothing."""
    tokens = source(issuer)
    await tokens.token()
    assert await tokens.renew("t1") == "t2"
    error = InvalidToken("1200", "invalid_token", "user/get")
    tokens.distrust("t2", error)
    for asking in (tokens.renew("t2"), tokens.token()):
        with pytest.raises(InvalidToken):
            await asking
    assert issuer.fetches == 2
    issuer.now_s += REST_FIRST_S
    assert await tokens.token() == "t2"
    assert await tokens.renew("t2") == "t3"


async def test_a_token_anew(issuer: Issuer) -> None:
    """Fetched though there is one, pause or no pause, and the others find it."""
    store = MemoryTokenStore()
    one, two = source(issuer, store), source(issuer, store)
    assert await one.token() == await two.token() == "t1"
    assert (await one.new()).value == await one.token() == "t2"
    assert await two.renew("t1") == "t2"
    issuer.refusal = WRONG
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            await one.new()
    assert issuer.fetches == 4


async def test_threads_share_a_store() -> None:
    """Each with an event loop and a source of its own: one fetch, and nobody hangs or hears of another's loop."""
    store = MemoryTokenStore(lock_s=PATIENCE_S)
    fetches: list[int] = []
    together = threading.Barrier(8)

    async def fetch() -> Token:
        fetches.append(1)
        await asyncio.sleep(0.05)
        return Token(f"t{len(fetches)}", time.time() + 3600)

    async def ask() -> str:
        together.wait(PATIENCE_S)
        return await TokenSource(store, fetch).token()

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as threads:
        told = await asyncio.gather(*(loop.run_in_executor(threads, asyncio.run, ask()) for _ in range(8)))
    assert (set(told), len(fetches)) == ({"t1"}, 1)


async def test_a_holder_that_died_blocks_nobody_for_ever() -> None:
    """A loop that was ended in the middle never gives the lock back: it lapses, and is not given back twice."""
    store = MemoryTokenStore(lock_s=0.05)
    dead = store.lock()
    await dead.__aenter__()
    async with asyncio.timeout(PATIENCE_S):
        async with store.lock():
            await dead.__aexit__(None, None, None)
            assert store._holder is not None
        async with store.lock():
            pass


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
