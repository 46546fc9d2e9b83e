"""An old primary is used again, without having been brought up to date: its own run id stands in its data.

Two real servers behind one path, moved by hand as an operator moves an address; what replication had brought over is
copied.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import JournalAway
from bridge.journal.inquiry import Inquiries
from bridge.journal.writer import Writer
from tests.support.browser_side import open_ws
from tests.support.stage import BOB, KEYS, LEASE_S, bearer, mail, running_edge
from tests.support.waiting import PATIENCE_S, until


class Moved:
    """Servers behind one path. ``use`` lets clients find another one, ``copy`` is what replication would have done."""

    def __init__(self, folder: Path, servers: list[EmbeddedServer]) -> None:
        self._path = folder / "s"
        self._servers = servers
        self._now = 0
        self.use(0)

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def use(self, number: int) -> None:
        self._path.unlink(missing_ok=True)
        self._path.symlink_to(self._servers[number].url.removeprefix("unix://"))
        with self.client(self._now) as left:
            for client in left.client_list():
                if int(client["id"]) != left.client_id():
                    left.client_kill_filter(_id=client["id"])
        self._now = number

    def client(self, number: int) -> redis_sync.Redis:
        return redis_sync.Redis.from_url(self._servers[number].url)

    def copy(self, source: int, target: int) -> None:
        with self.client(source) as there, self.client(target) as here:
            here.flushall()
            for key in there.keys("*"):
                here.restore(key, max(0, there.pttl(key)), there.dump(key))


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Moved]:
    with ExitStack() as stack:
        servers = [stack.enter_context(EmbeddedServer(tmp_path / name)) for name in "ab"]
        folder = Path(servers[0].url.removeprefix("unix://")).parent
        yield Moved(folder, servers)


@asynccontextmanager
async def leading(url: str) -> AsyncIterator[Writer]:
    """A worker's writer; a new one remembers nothing, and asks the edges."""
    redis = RedisAddress(url).client(timeout_s=PATIENCE_S)
    recollect = partial(Inquiries(redis, KEYS).recollect, within_s=PATIENCE_S)
    await redis.delete(KEYS.lease)
    writer = Writer(redis, KEYS, lease_s=LEASE_S, retention=Retention(), recollect=recollect)
    assert await writer.claim() is not None
    yield writer
    await redis.aclose()


@pytest.mark.parametrize("remembers", [False, True], ids=["a new worker", "the same worker"])
@pytest.mark.parametrize("kept", [False, True], ids=["a generation began", "the generation went on"])
async def test_no_position_is_given_twice_by_an_old_primary(moved: Moved, remembers: bool, kept: bool) -> None:
    """A browser has what the other server gave. The old one begins a generation: for a worker that remembers, because
    of that; for one that does not, because the edge does."""
    async with running_edge(moved.url) as (edge, _), leading(moved.url) as first:
        await first.commit([mail("Z1", 1)])
        async with await open_ws(edge, Authorization=bearer()["Authorization"]) as browser:
            before = first.generation
            moved.copy(0, 1)
            moved.use(1)
            if kept:
                await until(lambda: _keeps(first))
            outcomes = await first.commit([mail(f"B{n}", n) for n in range(2, 6)])
            assert (first.generation == before) is kept
            given = outcomes[-1]
            assert (await browser.events(4))[-1]["id"] == f"{given.epoch}-{given.seq}"
            moved.use(0)
            async with leading(moved.url) if not remembers else nullcontext(first) as second:
                [outcome] = await second.commit([mail("A1", 2)])
                assert outcome.epoch != given.epoch
                assert second.generation > before
                snapshot = await browser.until("exmail.snapshot")
                told = snapshot.data["data"]
                assert (told["mailbox"], told["resumed"], told["reason"]) == (BOB, False, "epoch")


async def test_a_restart_of_a_worker_resets_nobody(moved: Moved) -> None:
    """The edge remembers, and the server knows all of it: the generation goes on."""
    async with running_edge(moved.url) as (edge, _):
        async with leading(moved.url) as first:
            await first.commit([mail("Z1", 1)])
        async with await open_ws(edge, Authorization=bearer()["Authorization"]) as browser:
            await browser.until("exmail.snapshot")
            async with leading(moved.url) as second:
                await second.commit([mail("Z2", 2)])
                assert second.generation == first.generation
            [event] = await browser.events(1)
            assert event["data"]["mail_id"] == "Z2"


async def _keeps(writer: Writer) -> bool:
    try:
        await writer.keep()
    except JournalAway:
        return False
    return True
