"""Somebody sets the clock: of the machine that Redis runs on, or of the worker's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import redis

from bridge.journal.embedded import EmbeddedServer, find_bundled_binary
from bridge.simulator import Simulator, World
from tests.support.follower import Follower
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S, until
from tests.support.wrapped import Clock, wrapper

from .test_kill import assert_in_order_and_once, following, stored_events

HOUR_S = 3600
SLACK_S = 5
"""A worker knows Redis's clock as well as its first look at it was quick."""


@pytest.fixture
def clock(tmp_path: Path, require_library: Callable[[str], str]) -> Clock:
    return Clock(require_library("libfaketime.so.1"), tmp_path)


@pytest.fixture
def strange_server(tmp_path: Path, clock: Clock) -> Iterator[EmbeddedServer]:
    """Its own clock is the one that can be set."""
    # Debian's servers bring an allocator of their own, which the library for the clock does not get on with.
    bundled = find_bundled_binary()
    assert bundled is not None
    binary = wrapper(tmp_path, str(bundled), environ=clock.environ)
    with EmbeddedServer(tmp_path / "valkey", binary=binary) as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


async def all_there(provider: Simulator, followers: list[Follower], count: int) -> None:
    """More mails come, and every browser has seen them."""
    provider.world.deliver_many(count, BOB)
    sent = [mail.mail_id for mail in provider.world.mails_of(BOB)]
    await until(lambda: all(follower.mail_ids == sent for follower in followers))


def holder_listens(url: str, ahead_s: float, workers: Sequence[Program]) -> bool:
    """Whether Redis's clock has jumped, and who holds the lease under it has a listen session."""
    with redis.Redis.from_url(url) as client:
        (now_s, _), lease = client.time(), client.get(KEYS.lease)
    if lease is None or abs(now_s - time.time() - ahead_s) > HOUR_S / 2:
        return False
    fence = int(lease.partition(b":")[0])
    for worker in workers:
        led = [line["fence"] for line in worker.lines if line["message"] in ("leading", "lease claimed again")]
        listened = [line["message"] for line in worker.lines if line["message"].startswith("listen session ")]
        if led[-1:] == [fence] and listened[-1:] == ["listen session online"]:
            return True
    return False


async def test_the_clock_of_redis_jumps(strange_server: EmbeddedServer, provider: Simulator, clock: Clock) -> None:
    """An hour forth, two back: nothing is lost or given twice, a count's time never goes back, somebody leads."""
    url, port = strange_server.url, free_port()
    environ = worker_environ(url, provider)
    async with (
        program("worker", environ=environ) as first,
        program("worker", environ=environ) as second,
        program("edge", environ=edge_environ(url, port)) as edge,
    ):
        for running in (first, second, edge):
            await running.ready()
        await provider.listeners.wait_hearing(1)
        async with following(f"http://127.0.0.1:{port}", (BOB,)) as followers:
            for ahead_s in (0, HOUR_S, -HOUR_S, 0):
                clock.set(ahead_s)
                # With the clock goes the lease: whoever leads claims it again, or the other does.
                await until(lambda ahead_s=ahead_s: holder_listens(url, ahead_s, (first, second)))  # type: ignore[misc]
                await all_there(provider, followers, 20)
            for follower in followers:
                assert_in_order_and_once(follower)
                stamps = [event["data"]["as_of"] for event in follower.events]
                assert stamps == sorted(stamps)
                assert stamps[-1] - stamps[0] > HOUR_S * 900, "the clock was not set"
    assert len({event["id"].partition("-")[0] for event in stored_events(url) if BOB in event["source"]}) == 1


async def test_the_clock_of_the_worker_jumps(redis_url: str, provider: Simulator, clock: Clock) -> None:
    """A day forth, two back: no silence is seen where there was none, and the next leader tells the gap as it was.

    Between them nothing but Redis's clock counts.
    """
    port = free_port()
    async with program("edge", environ=edge_environ(redis_url, port)) as edge:
        await edge.ready()
        async with program("worker", environ=worker_environ(redis_url, provider) | clock.environ) as worker:
            await worker.ready()
            await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
            async with following(f"http://127.0.0.1:{port}", (BOB,)) as followers:
                for ahead_s in (0, 24 * HOUR_S, -24 * HOUR_S, 24 * HOUR_S):
                    clock.set(ahead_s)
                    await all_there(provider, followers, 20)
                for follower in followers:
                    assert_in_order_and_once(follower)
            last = provider.world.mails_of(BOB)[-1].time_s
            # Time to tell how far it heard.
            await until(lambda: worker_heard(redis_url) >= last - SLACK_S)
            await worker.kill()
            killed = time.time()
        async with program("worker", environ=worker_environ(redis_url, provider)) as successor:
            await until(lambda: bool(successor.said("listen session online")))
            await until(lambda: any(event["type"] == "exmail.upstream.missed" for event in stored_events(redis_url)))
    said = [event for event in stored_events(redis_url) if event["type"].startswith("exmail.upstream.")]
    assert [event["type"].rsplit(".", 1)[1] for event in said] == [
        "connected",
        "disconnected",
        "connected",
        "missed",
    ], [event["data"] for event in said]
    since, until_s = (said[-1]["data"][name] / 1000 for name in ("since", "until"))
    assert last - SLACK_S <= since <= killed + SLACK_S
    assert killed - SLACK_S <= until_s <= time.time() + SLACK_S


def worker_heard(url: str) -> float:
    """Until when the leader has told that it heard, epoch seconds."""
    with redis.Redis.from_url(url) as client:
        return int(client.hget("{exmail}:upstream", "heard") or 0) / 1000  # type: ignore[arg-type]
