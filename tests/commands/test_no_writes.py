"""A Redis that answers and takes no writes: the commands say that, and nothing untrue of those who cannot answer."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.journal.embedded import EmbeddedServer
from tests.support.browser_side import open_ws
from tests.support.stage import BOB, KEYS, QUICK, bearer, leading_writer, mail, running_edge
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
FULL, DEMANDING, REPLICA = "OOM", "NOREPLICAS", "READONLY"


async def run(redis_url: str, *words: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and error of a command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *words),
        env={**kept, "PYTHONPATH": str(ROOT), "BRIDGE_REDIS_URL": redis_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def taking_no_writes(redis: Any, word: str) -> AsyncIterator[None]:
    """The server refuses writes with this word until the end of the block."""
    if word == REPLICA:
        await redis.replicaof("127.0.0.1", "1")
    else:
        await redis.config_set("maxmemory" if word == FULL else "min-replicas-to-write", "1")
    try:
        yield
    finally:
        if word == REPLICA:
            await redis.replicaof("no", "one")
        else:
            await redis.config_set("maxmemory" if word == FULL else "min-replicas-to-write", "0")


@pytest.mark.parametrize("word", [FULL, DEMANDING, REPLICA])
async def test_status_shows_the_screen_and_says_why_nobody_answers(own_server: EmbeddedServer, word: str) -> None:
    """Neither leader nor edge can write an answer: they do not hang, and no other worker could lead."""
    url = own_server.url
    async with leading_writer(url) as (writer, redis), running_edge(url, QUICK):
        await writer.commit([mail("Z1")])
        async with taking_no_writes(redis, word):
            code, said, err = await run(url, "status")
            assert (code, err) == (0, "")
            assert f"Redis takes no writes, so pushes wait and nobody can lead or answer: {word}" in said.replace(
                "this server is a replica and takes no writes; its master is needed (READONLY", "READONLY"
            )
            assert "1 listen and cannot answer" in said
            assert "it cannot answer" in said
            for untrue in ("does not answer", "it hangs", "start one"):
                assert untrue not in said
            facts = json.loads((await run(url, "status", "--json"))[1])
            assert word in facts["no_writes"]
        assert json.loads((await run(url, "status", "--json"))[1])["no_writes"] is None
        assert await redis.llen(KEYS.orders) == 0, "nothing stays of the try"


async def test_a_lease_that_ran_out_meanwhile_is_no_reason_to_start_a_worker(own_server: EmbeddedServer) -> None:
    """On a full server it cannot be renewed, and nobody can claim it."""
    async with leading_writer(own_server.url) as (_, redis):
        await redis.delete(KEYS.lease)
        async with taking_no_writes(redis, FULL):
            _, said, _ = await run(own_server.url, "status")
    assert "leader     none" in said
    assert "provider   not known" in said
    assert "nobody can lead or answer" in said
    assert "start one" not in said


async def test_why_does_not_take_an_edge_that_cannot_answer_for_one_without_browsers(
    own_server: EmbeddedServer,
) -> None:
    """Nor a push that waits in the worker for one that never came."""
    url = own_server.url
    async with (
        leading_writer(url) as (writer, redis),
        running_edge(url, QUICK) as (edge, _),
        await open_ws(edge, **bearer()) as browser,
    ):
        await writer.commit([mail("Z1")])
        await browser.events(1)
        async with taking_no_writes(redis, FULL):
            code, said, err = await run(url, "why", BOB, "Z1")
            assert (code, err) == (0, "")
            assert "redis        takes no writes: OOM" in said
            assert "no edge can say who has this mailbox open" in said
            _, said, _ = await run(url, "why", BOB, "Z2")
            assert "waits in the worker" in said
            assert "did not push it" not in said


async def test_an_order_is_refused_in_true_words(own_server: EmbeddedServer) -> None:
    """Redis does answer."""
    async with leading_writer(own_server.url) as (_, redis), taking_no_writes(redis, FULL):
        code, _, err = await run(own_server.url, "forget", BOB)
    assert code == 1
    assert err.startswith("exmail-bridge: Redis takes no writes: OOM")
