"""A server behind a name: connections stay where the name leads, and leave whom it left."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.names import Name, is_name
from bridge.journal.writer import Writer
from tests.support.redis_proxy import redis_proxy
from tests.support.waiting import PATIENCE_S, until

from .conftest import KEYS, mail


class Here:
    """A connection to an address."""

    def __init__(self, address: str | None) -> None:
        self.address = address
        self.left = 0

    def leave(self) -> None:
        self.left += 1


def test_a_peer_is_left_when_the_name_has_left_it() -> None:
    """Not at the first answer without it: a large pool is told in turns. One that is back begins anew."""
    name = Name("redis.corp", 6379)
    old, new, closed = Here("10.0.0.1"), Here("10.0.0.2"), Here(None)
    for peer in (old, new, closed):
        name.dialled(peer)
    for _ in range(2):
        name.compare({"10.0.0.2"})
    name.compare({"10.0.0.1", "10.0.0.2"})
    for _ in range(2):
        name.compare({"10.0.0.2"})
    assert old.left == 0
    name.compare({"10.0.0.2", "10.0.0.3"})
    assert (old.left, new.left, closed.left) == (1, 0, 0)


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("redis.corp", True),
        ("redis", True),
        ("10.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("localhost", False),
    ],
)
def test_what_could_come_to_mean_another_machine(host: str, named: bool) -> None:
    """An address never does."""
    assert is_name(host) is named


async def test_what_was_asked_is_answered_before_a_server_is_left(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit whose answer is cut off may or may not have been applied, and then a generation begins for safety."""
    answer = ["127.0.0.1"]
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve(answer[0] if host == "redis.corp" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # Not a second at the latest: this test may stand still for longer.
    monkeypatch.setattr("bridge.journal.pipe._LAST_ANSWERS_S", PATIENCE_S)
    async with redis_proxy(redis_url) as way:
        port = int(way.url.rpartition(":")[2].partition("/")[0])
        address = RedisAddress(f"redis://redis.corp:{port}/0", look_s=0.02)
        client = address.client(timeout_s=PATIENCE_S)
        writer = Writer(client, KEYS, lease_s=300, retention=Retention())
        assert await writer.claim() is not None
        watching = asyncio.create_task(address.watch())
        try:
            way.stalled = True
            committing = asyncio.create_task(writer.commit([mail("1")]))
            await until(lambda: way.held > 0)
            answer[0] = "127.0.0.2"
            await until(lambda: "redis is elsewhere" in caplog.messages)
            way.stalled = False
            # Nobody is at the new address: only the old server can have answered.
            [outcome] = await asyncio.wait_for(committing, PATIENCE_S)
            assert (outcome.result, outcome.seq) == ("published", 1)
        finally:
            watching.cancel()
            await client.aclose()


async def test_a_client_follows_its_name(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old server goes on to answer; the connection is cut all the same, and the next one goes to the new one."""
    answer = ["127.0.0.1"]
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve(answer[0] if host == "redis.corp" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with redis_proxy(redis_url) as way:
        port = int(way.url.rpartition(":")[2].partition("/")[0])
        address = RedisAddress(f"redis://redis.corp:{port}/0", look_s=0.02)
        client = address.client(connections=1)
        watching = asyncio.create_task(address.watch())
        try:
            before = await client.client_id()
            answer[0] = "127.0.0.2"

            async def gone() -> bool:
                return before not in {int(each["id"]) for each in await looking.client_list()}

            looking = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
            await until(gone)
            await looking.aclose()
        finally:
            watching.cancel()
            await client.aclose()
