"""``docs/samples``: a consumer that somebody copied outlives a server that answers and refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.writer import Writer
from tests.support.processes import free_port
from tests.support.redis_proxy import redis_proxy
from tests.support.samples import GROUP, SAMPLES, SPOKEN, Samples, ids, samples_in, waits
from tests.support.stage import KEYS, leading_writer, mail
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture(params=SPOKEN)
def samples(request: pytest.FixtureRequest, require_binary: Callable[[str], str], tmp_path: Path) -> Samples:
    """Those that look for the next event often: who waits for one hears nothing of the server."""
    language = request.param
    found = samples_in(language, tmp_path, require_binary)
    text = (SAMPLES / f"group.{language}").read_text()
    assert "BLOCK_MS = 10_000" in text
    (tmp_path / f"group.{language}").write_text(text.replace("BLOCK_MS = 10_000", "BLOCK_MS = 200"))
    return replace(found, folder=tmp_path)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        pytest.param(["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"], id="NOREPLICAS"),
        pytest.param(
            ["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"],
            ["CONFIG SET replica-serve-stale-data yes", "REPLICAOF NO ONE"],
            id="MASTERDOWN",
        ),
        pytest.param(
            [f"XGROUP DESTROY {KEYS.events} {GROUP}", "CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"], id="OOM"
        ),
    ],
)
async def test_a_server_that_takes_no_writes_is_waited_for(
    samples: Samples, tmp_path: Path, bad: list[str], good: list[str]
) -> None:
    """It answers, and refuses: for a while."""
    with EmbeddedServer(tmp_path / "server") as server:
        async with redis_proxy(server.url) as way, leading_writer(server.url) as (writer, redis):
            await redis.xgroup_create(KEYS.events, GROUP, "$", mkstream=True)
            async with samples.work(way.url, REDIS_URL=way.url) as one:
                await writer.commit([mail("0")])
                await one.until_done(1)
                for command in bad:
                    await redis.execute_command(*command.split())
                await one.until_said("Redis is away")
                for command in good:
                    await redis.execute_command(*command.split())
                await writer.commit([mail("1")])
                # A group that is made anew begins at the first event again.
                await until(lambda: len(set(one.done)) == 2)
            assert await ids(redis) == list(dict.fromkeys(one.done))


AT_ONCE = {"repl-diskless-sync-delay": "0"}
"""Otherwise a master waits five seconds for more replicas that might begin with the first."""


@pytest.mark.parametrize("refuses", ["REPLICAOF 127.0.0.1 {port}", "CONFIG SET min-replicas-to-write 9"])
async def test_a_master_that_was_deposed_is_left(samples: Samples, tmp_path: Path, refuses: str) -> None:
    """Behind a connection that stays open it goes on answering; its name leads to the new master by then.

    A server that becomes a replica closes the connections of those who wait; one that only refuses closes none.
    """
    ports = free_port(), free_port()
    with (
        EmbeddedServer(tmp_path / "former", port=ports[0], config=AT_ONCE) as former,
        EmbeddedServer(tmp_path / "next", port=ports[1]) as following,
    ):
        async with (
            redis_proxy(former.url) as way,
            leading_writer(former.url) as (writer, redis),
            RedisAddress(following.url).client(timeout_s=PATIENCE_S) as promoted,
        ):
            await promoted.execute_command("REPLICAOF", "127.0.0.1", str(ports[0]))
            await redis.xgroup_create(KEYS.events, GROUP, "$", mkstream=True)
            async with samples.work(way.url, REDIS_URL=way.url) as one:
                await writer.commit([mail("0")])
                await one.until_done(1)
                await waits(redis)
                assert await redis.execute_command("WAIT", "1", "0") == 1
                await promoted.execute_command("REPLICAOF", "NO", "ONE")
                way.target = following.url
                await redis.execute_command(*refuses.format(port=ports[1]).split())
                await one.until_said("Redis is away")
                await promoted.delete(KEYS.lease)
                another = Writer(promoted, KEYS, lease_s=60, retention=Retention())
                assert await another.claim() is not None
                await another.commit([mail("1")])
                await one.until_done(2)
            assert one.done[-1] == (await ids(promoted))[-1]


async def test_a_node_client_that_has_given_up_is_told_to_connect_again(
    tmp_path: Path, require_binary: Callable[[str], str]
) -> None:
    """ioredis ends for good where a connection is left while it is being made: each call after that is refused."""
    samples = samples_in("mjs", tmp_path / "node", require_binary)
    text = (SAMPLES / "group.mjs").read_text()
    leaves = "redis.once('connecting', () => redis.disconnect(true))\n"
    (samples.folder / "group.mjs").write_text(text.replace("redis.on('error'", f"{leaves}redis.on('error'", 1))
    with EmbeddedServer(tmp_path / "server") as server:
        async with leading_writer(server.url) as (writer, redis):
            await redis.xgroup_create(KEYS.events, GROUP, "$", mkstream=True)
            async with samples.work(server.url, REDIS_URL=server.url) as one:
                await one.until_said("Connection is closed")
                await writer.commit([mail("0")])
                await one.until_done(1)
