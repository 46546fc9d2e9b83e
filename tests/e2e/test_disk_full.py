"""The disk under the embedded server is full: writes are refused, reads go on, and nothing is lost."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.journal.embedded import EmbeddedServer, find_server_binary
from bridge.simulator import Simulator, World
from tests.support.processes import edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB
from tests.support.waiting import until
from tests.support.wrapped import wrapper

from .test_kill import assert_in_order_and_once, following


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """One that learns of a full disk as from a write that fails, not from the signal that a file limit sends."""
    binary = wrapper(tmp_path, str(find_server_binary()), before="trap '' XFSZ")
    with EmbeddedServer(tmp_path / "valkey", binary=binary) as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


def fill_disk(server: EmbeddedServer, folder: Path) -> None:
    """No file of the server may grow by more than a few mails."""
    assert server.pid is not None
    largest = max(path.stat().st_size for path in folder.rglob("*.aof"))
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (largest + 4096, resource.RLIM_INFINITY))


def free_disk(server: EmbeddedServer) -> None:
    assert server.pid is not None
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def test_a_full_disk_loses_nothing(server: EmbeddedServer, provider: Simulator, tmp_path: Path) -> None:
    """The worker says why it waits and keeps what is pushed; browsers stay; with room again all of it arrives."""
    port = free_port()
    async with (
        program("worker", environ=worker_environ(server.url, provider)) as worker,
        program("edge", environ=edge_environ(server.url, port)) as edge,
    ):
        await worker.ready()
        await edge.ready()
        await provider.listeners.wait_hearing(1)
        async with following(f"http://127.0.0.1:{port}", (BOB,)) as followers:
            provider.world.deliver_many(5, BOB)
            await until(lambda: all(len(follower.mail_ids) == 5 for follower in followers))
            fill_disk(server, tmp_path / "valkey")
            provider.world.deliver_many(50, BOB)

            def refused() -> bool:
                waiting = worker.said("journal away, waiting to commit")
                return any(line["error"].startswith("MISCONF") for line in waiting)

            def more() -> bool:
                provider.world.deliver_many(5, BOB)
                return refused()

            await until(more)
            free_disk(server)
            sent = [mail.mail_id for mail in provider.world.mails_of(BOB)]
            await until(lambda: all(follower.mail_ids == sent for follower in followers))
            for follower in followers:
                assert_in_order_and_once(follower)
                assert len(follower.snapshots) == 1, "a browser had to come again"
