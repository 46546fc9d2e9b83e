"""``status``: one screen that tells the truth, whoever of the bridge runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.journal.calls import Bury
from bridge.journal.connect import RedisAddress
from bridge.journal.inquiry import Inquiries
from bridge.journal.keys import Keys
from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import BOB, KEYS, QUICK, bearer, leading_writer, mail, running_edge
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import Told, running_worker, simulating

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = RedisAddress(redis_url).client()
    yield client
    await client.aclose()


async def status(redis_url: str, *words: str, code: int = 0) -> str:
    """Run the command; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "status", *words),
        env={**kept, "PYTHONPATH": str(ROOT), "BRIDGE_REDIS_URL": redis_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == code, err
    return (out or err).decode()


async def facts(redis_url: str) -> Any:
    return json.loads(await status(redis_url, "--json"))


async def test_everything_at_one_look(redis_url: str, redis: Any) -> None:
    """A leader, an edge with browsers on both transports: who they are, and how many."""
    told = Told(redis)
    async with (
        simulating() as simulator,
        running_worker(redis_url, simulator),
        running_edge(redis_url, QUICK) as (url, _),
        await open_ws(url, **bearer()),
        await open_sse(url, **bearer()),
    ):
        await told.wait("directory.synced")
        await told.wait("upstream.connected")
        await until(lambda: redis.zcard(KEYS.online))  # edges write it every few seconds
        found = await facts(redis_url)
        assert found["upstream"]["state"] == "connected"
        assert found["fence"] == 1
        assert found["leader"]["trouble"] is None
        assert found["leader"]["backlog"] == 0
        assert found["accounts"] == len(simulator.world.accounts)
        [edge] = found["edges"]
        assert edge["connections"] == {"websocket": 1, "sse": 1}
        assert (edge["mailboxes"], found["edges_asked"], found["online"]) == (1, 1, 1)
        said = await status(redis_url)
        assert "provider   connected since" in said
        assert "1 of 1 answered; 1 websocket, 1 sse" in said
        assert found["leader"]["worker"] in said
        assert BOB not in said + json.dumps(found), "it is about nobody"


async def test_where_nothing_runs_it_says_so(redis_url: str) -> None:
    """Redis alone is enough."""
    found = await facts(redis_url)
    assert (found["fence"], found["leader"], found["edges_asked"]) == (None, None, 0)
    assert found["server"]["version"]
    assert any("no worker leads" in line for line in found["look_at"])
    assert any("no edge runs" in line for line in found["look_at"])
    said = await status(redis_url)
    assert "leader     none" in said
    assert "Ver none yet" in said


async def test_who_does_not_answer_is_named(redis_url: str) -> None:
    """A lease whose holder takes no orders, and something that hears questions and says nothing."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("Z1"), Bury("bad-json", 9, b"{", "whole")])
        silent = redis.pubsub()
        await silent.subscribe(KEYS.inquiry_channel)
        await silent.get_message(timeout=PATIENCE_S)
        found = await facts(redis_url)
        await silent.aclose()
    assert found["leader"] is None
    assert (found["edges"], found["edges_asked"]) == ([], 1)
    assert any("the leader does not answer" in line for line in found["look_at"])
    assert any("an edge does not answer" in line for line in found["look_at"])
    assert any("1 documents could not be read: `dead list`" in line for line in found["look_at"])
    assert found["newest"] is not None


async def test_an_odd_value_costs_its_line_alone(redis_url: str, redis: Any) -> None:
    """What somebody else wrote there is not believed, and hides nothing."""
    await redis.set(KEYS.held, "{")
    await redis.set(KEYS.lease, "nobody")
    await redis.hset(KEYS.upstream, mapping={"state": "odd", "since": "x"})
    await redis.xadd(KEYS.events, {"event": "{}"})
    found = await facts(redis_url)
    assert found["held"] is None
    assert any("cannot be read" in line for line in found["look_at"])


async def test_an_edge_answers_about_itself_only_as_asked(redis_url: str) -> None:
    """What an edge says of itself has nobody's name in it; what is no answer of that kind is not shown."""
    async with leading_writer(redis_url) as (_, redis), running_edge(redis_url, QUICK):
        answers, heard = await Inquiries(redis, Keys("exmail")).edges()
        assert heard == 1
        [answer] = answers
        assert set(answer) == {"edge", "version", "since", "clock", "connections", "mailboxes", "behind", "unsent"}


@pytest.mark.parametrize(("ahead_s", "how"), [(-3600, "behind"), (3600, "ahead of"), (2, "")])
async def test_the_clock_of_an_edge_is_looked_at(redis_url: str, redis: Any, ahead_s: int, how: str) -> None:
    """It judges tokens, and the doctor looks at that of his own host. Since when the edge runs is said truly."""
    async with running_edge(redis_url, QUICK):
        [answer], _ = await Inquiries(redis, Keys("exmail")).edges()
    heard = redis.pubsub()
    await heard.subscribe(KEYS.inquiry_channel)
    asking = asyncio.create_task(status(redis_url))
    while (message := await heard.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)) is None:
        pass
    seconds, _ = await redis.time()
    times = {"clock": (seconds + ahead_s) * 1000, "since": (seconds + ahead_s - 30) * 1000}
    await Inquiries(redis, Keys("exmail")).answer(json.loads(message["data"])["id"], answer | times)
    said = await asking
    await heard.aclose()
    assert ("the clock of" in said) is bool(how)
    assert not how or re.search(rf"is 3[56]\d\d s {how} Redis's", said), said
    assert re.search(r"runs since \S+ \((2[89]|3\d) s ago\)", said), said


async def test_redis_away_is_one_line() -> None:
    """No traceback, and exit code 1."""
    said = await status("redis://127.0.0.1:1/0", code=1)
    assert said.startswith("exmail-bridge: Redis does not answer")
    assert said.count("\n") == 1


async def test_watching_needs_a_terminal_or_json(redis_url: str) -> None:
    """In a pipe it would draw into a file."""
    assert "--watch draws on a terminal" in await status(redis_url, "--watch", code=2)


@pytest.mark.parametrize("restart", [False, True])
async def test_watching_goes_on(own_server: Any, restart: bool) -> None:
    """A line again and again, also when Redis was away meanwhile."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "status", "--watch", "--json"),
        env={**kept, "PYTHONPATH": str(ROOT), "BRIDGE_REDIS_URL": own_server.url},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert "fence" in json.loads(await process.stdout.readline())
            if restart:
                own_server.kill()
                while "error" not in json.loads(await process.stdout.readline()):
                    pass
                own_server.restart()
            while "fence" not in json.loads(await process.stdout.readline()):
                pass
    finally:
        process.terminate()
        await process.wait()
