"""Redis away for longer than the lease, and the same history afterwards: where nobody can have led meanwhile, and only
there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer, find_bundled_binary
from bridge.journal.errors import JournalAway, JournalUnreached, LeaseLost
from bridge.journal.inquiry import Memory
from bridge.journal.pipe import Pipe
from bridge.journal.raw import pack
from bridge.journal.witness import time_of_boot
from bridge.journal.writer import Claimed, Writer
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S, until

from .conftest import KEYS, mail

LEASE_S = 300.0
"""A part of it is more than a machine stands still for."""


class Place:
    """Where a server is, and a clock that can be set: what comes between a lease and the next is not waited for."""

    def __init__(self, server: EmbeddedServer, url: str) -> None:
        self.server = server
        self.url = url
        self.redis: Any = RedisAddress(url).client(timeout_s=PATIENCE_S)
        self.later_s = 0.0

    def writer(self, **options: Any) -> Writer:
        """A worker's, that has the way to the server for itself."""
        options = {"one_server": True, "clock": lambda: time_of_boot() + self.later_s, **options}
        return Writer(
            RedisAddress(self.url).client(timeout_s=PATIENCE_S), KEYS, lease_s=LEASE_S, retention=Retention(), **options
        )

    async def leading(self, **options: Any) -> Writer:
        """One that has committed a mail."""
        writer = self.writer(**options)
        assert await writer.claim() is not None
        await writer.commit([mail("Z1")])
        return writer

    def kill(self) -> None:
        self.server.kill()

    async def again(self) -> None:
        """The next process, and the lease has run out."""
        await asyncio.to_thread(self.server.restart)
        await self.redis.connection_pool.disconnect()
        await self.redis.delete(KEYS.lease)


async def finds_nobody(writer: Writer) -> None:
    """A leader asks and finds that nobody listens. The end of its connection is news before."""
    while True:
        try:
            await writer.renew()
        except JournalUnreached:
            return
        except JournalAway:
            continue


async def outage(place: Place, writer: Writer) -> Claimed:
    """Redis is away for longer than the lease; what the leader that saw it end finds then."""
    place.kill()
    await finds_nobody(writer)
    await place.again()
    claimed = await writer.claim()
    assert claimed is not None
    return claimed


@pytest.fixture
async def place(own_server: EmbeddedServer) -> AsyncIterator[Place]:
    place = Place(own_server, own_server.url)
    yield place
    await place.redis.aclose()


@pytest.fixture(params=["embedded", "redis-server", "valkey-server"])
def binary(request: pytest.FixtureRequest) -> Path:
    found = find_bundled_binary() if request.param == "embedded" else shutil.which(request.param)
    if found is None:
        pytest.skip(f"apt install {request.param}")
    return Path(found)


@pytest.fixture(params=["a path", "an address"])
async def any_place(request: pytest.FixtureRequest, binary: Path, tmp_path: Path) -> AsyncIterator[Place]:
    """Each server, found in each way."""
    durable = {"appendfsync": "always"}
    with EmbeddedServer(tmp_path / "redis", binary=binary, port=free_port(), config=durable) as server:
        place = Place(server, server.url if request.param == "a path" else server.tcp_url)
        yield place
        await place.redis.aclose()


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_leader_that_saw_the_end_goes_on_where_it_was(any_place: Place, how: str) -> None:
    """All that it sent is there, and nobody can have been given a lease before the server ended, or since."""
    writer = await any_place.leading()
    generation, fence = writer.generation, writer.fence
    if how == "stopped":
        await any_place.redis.shutdown()
    else:
        any_place.server.kill()
    await finds_nobody(writer)
    await any_place.again()
    [outcome] = await writer.commit([mail("Z2")])
    assert (outcome.result, outcome.seq) == ("published", 2)
    assert (writer.generation, writer.fence) == (generation, fence + 1)


async def test_two_long_restarts_are_kept_too(place: Place) -> None:
    """What was claimed after the first is what is remembered over the second."""
    writer = await place.leading()
    for _ in range(2):
        claimed = await outage(place, writer)
        assert not claimed.new_generation
        await writer.commit([mail("Z2")])


async def test_a_commit_whose_answer_was_lost_with_the_server_applies_once(place: Place) -> None:
    """It is there, so all that was sent is: it is sent again under its number, in the same generation."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            await place.again()

    writer = await place.leading(pause=pause)
    generation, run = writer.generation, writer._script.run

    async def cut(calls: Sequence[Any]) -> list[list[Any]]:
        await run(calls)
        writer._script.run = run  # type: ignore[method-assign]
        place.server.kill()
        raise JournalAway("the answer was lost")

    writer._script.run = cut  # type: ignore[method-assign]
    [outcome] = await writer.commit([mail("Z2")])
    assert (outcome.result, writer.generation) == ("again", generation)
    [outcome] = await writer.commit([mail("Z3")])
    assert outcome.seq == 3


async def test_what_others_remember_still_overrules(place: Place) -> None:
    """An edge that was given more than is there is believed before the first commit."""
    memory = Memory()

    async def recollect() -> Memory:
        return memory

    writer = await place.leading(recollect=recollect)
    generation = writer.generation
    assert not (await outage(place, writer)).new_generation
    memory = Memory(generation, 2)
    await writer.commit([mail("Z2")])
    assert writer.generation > generation


async def test_whoever_remembers_nothing_begins_anew(place: Place) -> None:
    """A worker that was started while Redis was away: it cannot know who led."""
    writer = await place.leading()
    place.server.kill()
    await finds_nobody(writer)
    await place.again()
    claimed = await place.writer().claim()
    assert claimed is not None
    assert claimed.generation > writer.generation


async def test_where_a_call_is_missing_a_generation_begins(place: Place) -> None:
    """It was sent, and not answered: it may have been published and lost."""
    writer = await place.leading()
    writer._sent += 1
    assert (await outage(place, writer)).new_generation


@pytest.mark.parametrize("lacks", ["a commit", "a renewal"])
async def test_older_data_in_its_place_begin_anew(place: Place, tmp_path: Path, lacks: str) -> None:
    """A dump from before the last commit, or from before the last time that the lease was given."""
    folder, older = tmp_path / "valkey" / "appendonlydir", tmp_path / "older"
    writer = await place.leading()
    shutil.copytree(folder, older)
    if lacks == "a commit":
        await writer.commit([mail("Z2")])
    else:
        await writer.renew()
    place.server.kill()
    await finds_nobody(writer)
    shutil.rmtree(folder)
    shutil.copytree(older, folder)
    await place.again()
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation


@pytest.mark.parametrize("seen", ["in time", "too late"])
async def test_the_end_must_be_seen_while_the_lease_stands(place: Place, seen: str) -> None:
    """Later another may have been given one, and the end may have cost all that tells of it."""
    writer = await place.leading()
    place.server.kill()
    place.later_s += LEASE_S * (0.5 if seen == "in time" else 0.7)
    await finds_nobody(writer)
    await place.again()
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation is (seen == "too late")


@pytest.mark.parametrize("pause", [0.4, 0.6])
async def test_the_place_must_be_watched(place: Place, pause: float) -> None:
    """Between two looks that are far apart a process may have lived in which another led."""
    writer = await place.leading()
    place.server.kill()
    for _ in range(4):
        await finds_nobody(writer)
        place.later_s += LEASE_S * pause
    await finds_nobody(writer)
    await place.again()
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation is (pause > 0.5)


@pytest.mark.parametrize("since", ["long after the last look", "before it"])
async def test_the_process_must_be_the_next_in_the_place(place: Place, since: str) -> None:
    """One that began long after is perhaps the next but one; one that was there before is another server."""
    writer = await place.leading()
    place.server.kill()
    await finds_nobody(writer)
    await place.again()
    assert writer._witness._vacant_at is not None
    if since == "before it":
        writer._witness._vacant_at = time_of_boot() + 7
    else:
        place.later_s += LEASE_S
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation


async def test_the_next_process_may_have_begun_before_the_last_look(place: Place) -> None:
    """It listens a while after it began, seconds where it loads modules or the machine is busy."""
    writer = await place.leading()
    place.server.kill()
    await finds_nobody(writer)
    await place.again()
    assert writer._witness._vacant_at is not None
    writer._witness._vacant_at = time_of_boot() + 4
    claimed = await writer.claim()
    assert claimed is not None
    assert not claimed.new_generation


async def test_a_clock_of_redis_that_ran_ahead_proves_nothing(place: Place) -> None:
    """The lease may have ended before its time, and another have led before the server ended."""
    writer = await place.leading()
    writer._witness._granted_ms -= round(LEASE_S * 400)
    assert (await outage(place, writer)).new_generation


@pytest.mark.parametrize("way", ["it was a replica", "it has a replica", "the URL names several"])
async def test_only_one_server_without_a_replica_is_kept(place: Place, tmp_path: Path, way: str) -> None:
    """Where there are others, an empty place says nothing of what another one was given."""
    writer = await place.leading(one_server=way != "the URL names several")
    place.server.kill()
    if writer._witness._one_server:
        await finds_nobody(writer)
    await place.again()
    if way == "it was a replica":
        await place.redis.replicaof("127.0.0.1", "1")
        await place.redis.replicaof("NO", "ONE")
    if way == "it has a replica":
        path = place.server.url.removeprefix("unix://")
        asking, replica = await asyncio.open_unix_connection(path)
        replica.write(b"SYNC\r\n")
        assert await asking.readexactly(1)
        await until(lambda: has_replica(place))
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation


async def has_replica(place: Place) -> bool:
    count: int = (await place.redis.info("replication"))["connected_slaves"]
    return count == 1


async def test_a_lease_that_ended_before_its_time_is_no_ground(place: Place) -> None:
    """Somebody took it away while the server ran: another may have been given it."""
    writer = await place.leading()
    await place.redis.delete(KEYS.lease)
    with pytest.raises(LeaseLost):
        await writer.renew()
    assert (await outage(place, writer)).new_generation


async def test_whoever_gave_the_lease_up_knows_nothing(place: Place) -> None:
    """From then on it is anybody's."""
    writer = await place.leading()
    await writer.release()
    place.server.kill()
    with pytest.raises(JournalAway):
        await writer.claim()
    with pytest.raises(JournalAway):
        await writer.claim()
    await place.again()
    claimed = await writer.claim()
    assert claimed is not None
    assert claimed.new_generation


Dial = Callable[[str], Pipe]


@pytest.fixture
def dial() -> Dial:
    """Ways to a server by its URL."""
    return lambda url: Pipe(RedisAddress(url).client(timeout_s=PATIENCE_S))


async def unreached(pipe: Pipe) -> JournalUnreached:
    while True:
        try:
            await pipe.ask(pack("PING"), 1)
        except JournalUnreached as error:
            return error
        except JournalAway:
            continue


async def test_nobody_is_only_where_somebody_was(own_server: EmbeddedServer, dial: Dial) -> None:
    """A path or address that never answered may be a wrong one, and another than that of before says nothing of it."""
    pipe, stranger = dial(own_server.url), dial(f"redis://127.0.0.1:{free_port()}")
    await pipe.ask(pack("PING"), 1)
    own_server.kill()
    assert (await unreached(pipe)).vacant
    assert not (await unreached(stranger)).vacant
    stranger._peer = ("127.0.0.2", 6379)
    assert not (await unreached(stranger)).vacant
    pipe._peer = ("127.0.0.1", 6379)
    assert not (await unreached(pipe)).vacant


async def test_who_answers_and_does_not_let_us_in_is_somebody(own_server: EmbeddedServer) -> None:
    """The password was changed."""
    passwords = ["old"]
    async with Redis.from_url(own_server.url) as server:
        await server.config_set("requirepass", "old")
        pipe = Pipe(RedisAddress(own_server.url, password=lambda: passwords[0]).client())
        await pipe.ask(pack("PING"), 1)
        passwords[0] = "new"
        pipe.leave()
        assert not (await unreached(pipe)).vacant
