"""Whatever ``user/list`` and ``user/get`` answer: nothing ends, mails go on, a good answer later mends the mirror."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.journal.connect import RedisAddress
from bridge.journal.mirror import Mirror
from bridge.provider.bizmail.client import ProviderClient
from bridge.simulator import Kind, Simulator
from bridge.worker.directory import Directory
from bridge.worker.questions import DIRECTORY_FAULTS
from tests.support.members import fresh, mirrored, slaves_of
from tests.support.stage import mail
from tests.support.waiting import PATIENCE_S
from tests.support.workers import BOB, KEYS, Told, running_worker, simulating

from .conftest import ALL_FIELDS, Parts, pulled

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ADDRESSES = st.sampled_from(
    [BOB, "BOB@gzdev.com ", "x@x.cn", "Y@X.CN", "robert@gzdev.com", "", "no address", "a@b@c", "zero\u200b@x.cn"]
)
SLAVES = st.sampled_from(["", BOB, "robert@gzdev.com,x@x.cn", "x@x.cn, ,x@x.cn", "," * 300]) | ANY
LINES = st.fixed_dictionaries({"Alias": ADDRESSES | ANY}, optional={"Action": st.integers(-1, 4) | ANY}) | ANY
LISTS = st.fixed_dictionaries(
    {},
    optional={
        "Ver": st.integers(1795497613538, 4_000_000_000_000) | st.integers() | ANY,
        "Count": st.integers(0, 5) | ANY,
        "List": st.lists(LINES, max_size=6) | ANY,
        "errcode": st.sampled_from(["1301", "1999", "0", "x" * 500]) | ANY,
    },
)
PROFILES = st.fixed_dictionaries(
    {},
    optional={
        "Alias": ADDRESSES | ANY,
        "Name": st.text(max_size=9) | ANY,
        "SlaveList": SLAVES,
        "PartyList": st.just({"Count": 1, "List": [{"Value": "研发"}]}) | ANY,
        "OpenType": st.integers(-1, 3) | ANY,
        "Status": ANY,
        "Gender": ANY,
        "errcode": st.sampled_from(["1301", "1400", "1002", "1999"]) | ANY,
    },
)


def bodies(shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Such objects, other JSON, and texts that are none."""
    encoded = (shapes | ANY).map(lambda value: _encoded(value))
    return encoded | st.sampled_from(["", " ", "<html>", "[]", "null", '{"List":[', "[" * 2000, '{"Ver":1e400}'])


def _encoded(value: Any) -> str:
    # As other libraries write it: NaN, numbers of any length, lone surrogates.
    return json.dumps(value, default=str)


class Stage:
    """A provider, a directory, and a loop that stands still between the examples."""

    def __init__(self, runner: asyncio.Runner, redis_url: str) -> None:
        self._runner = runner
        self._redis_url = redis_url

    def run(self, do: Any) -> None:
        self._runner.run(do)

    async def open(self) -> None:
        self._simulating = simulating(5)
        self.simulator: Simulator = await self._simulating.__aenter__()
        self.simulator.world.modify_user(BOB, slaves=("robert@gzdev.com",))
        self._session = aiohttp.ClientSession()
        world = self.simulator.world
        client = ProviderClient(
            api_url=self.simulator.url,
            auth_url=self.simulator.url,
            client_id=world.client_id,
            client_secret=lambda: world.client_secret,
            session=self._session,
            busy_wait_s=0,
            timeout_s=PATIENCE_S,
        )
        self.redis: Any = RedisAddress(self._redis_url).client(timeout_s=PATIENCE_S)
        self.parts = Parts(self.redis, client, Mirror(self.redis, KEYS))
        self.writer = await self.parts.writer()
        self.directory: Directory = await self.parts.directory(writer=self.writer)
        await pulled(self.directory)

    async def close(self) -> None:
        await self._session.close()
        await self.redis.aclose()
        await self._simulating.__aexit__(None, None, None)


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        stage = Stage(runner, redis_url)
        stage.run(stage.open())
        yield stage
        stage.run(stage.close())


@given(listed=bodies(LISTS), got=bodies(PROFILES), number=st.integers(0, 10**9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_answer_ends_the_directory(stage: Stage, listed: str, got: str, number: int) -> None:
    """Its faults are those that are waited out; afterwards a comparison with good answers makes everything right."""

    async def example() -> None:
        simulator, directory = stage.simulator, stage.directory
        simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=listed)
        simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=got)
        for _ in range(2):
            directory.doubt()
            try:
                await pulled(directory)
            except DIRECTORY_FAULTS:
                pass
        simulator.faults.clear()
        [outcome] = await stage.writer.commit([mail(f"Z{number}-{id(listed)}", mailbox=BOB)])
        assert outcome.result in ("published", "duplicate")
        directory.doubt()
        try:
            await pulled(directory)
        except DIRECTORY_FAULTS:
            pass
        await directory.resync()
        await pulled(directory)
        world = simulator.world
        assert await mirrored(stage.redis) == fresh(world, ALL_FIELDS)
        assert stage.parts.slaves == slaves_of(world)
        assert not await stage.parts.mirror.barred() & world.accounts.keys()
        assert not {alias for alias in await stage.parts.mirror.owed() if alias in world.accounts}
        assert directory.cursor == world.ver

    stage.run(example())


SHAPES: dict[str, tuple[str, str]] = {
    "no JSON": ("<html>", "<html>"),
    "another object": ('{"surprise":1}', '{"surprise":1}'),
    "everybody is gone": ('{"Ver":1,"Count":0,"List":[]}', '{"errcode":"1301","error":""}'),
    "negative": ('{"Ver":-1,"Count":-1,"List":[{"Alias":"x@x.cn","Action":-1}]}', '{"Alias":"x@x.cn","OpenType":-1}'),
    "huge": (
        '{"Ver":99999999999999999999,"Count":1e400,"List":[{}]}',
        '{"Alias":"x@x.cn","Status":1' + "0" * 400 + "}",
    ),
    "nested": ("[" * 5000, '{"Alias":"bob@gzdev.com","PartyList":' + "[" * 900 + "]" * 900 + "}"),
    "refused": ('{"errcode":"45009","error":"too often"}', '{"errcode":"45009","error":"too often"}'),
    "odd errcode": ('{"errcode":{"a":1}}', '{"errcode":[]}'),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("when", ["before the first fill", "after it"])
async def test_no_answer_ends_the_worker_or_keeps_a_mail(
    redis_url: str, simulator: Simulator, told: Told, shape: str, when: str
) -> None:
    """Asked and asked again with such answers, it listens, and the mail is there."""
    listed, got = SHAPES[shape]
    world = simulator.world

    def spoil() -> None:
        simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=listed)
        simulator.faults.on(Kind.ANSWER, endpoint="user/get", value=got)

    if when == "before the first fill":
        spoil()
    async with running_worker(redis_url, simulator) as worker:
        await simulator.listeners.wait_hearing()
        if when == "after it":
            await told.wait("directory.synced")
            spoil()
            world.modify_user(BOB, name="Robert")
        await simulator.faults.wait(Kind.ANSWER, 2)
        world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert not worker.task.done()
        # A single strange answer about each must not be the last that is asked.
        simulator.faults.clear()
