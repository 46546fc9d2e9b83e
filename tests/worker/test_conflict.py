"""Another listener with our client id: announced, and no fight for the connection."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bridge.simulator import Cut, SecondListener, Simulator
from tests.support.waiting import until
from tests.support.workers import BOB, Told, running_worker

from .test_listen_to_events import listening


async def displaced(simulator: Simulator, told: Told, times: int) -> None:
    """Take the connection away again and again, each time a moment after it was got."""
    for number in range(times):
        await told.wait("upstream.connected", number + 1)
        await simulator.listeners.wait_hearing()
        # What makes it a rival is that somebody had to connect meanwhile.
        await asyncio.sleep(0.15)
        simulator.cut(Cut.FIN)
        await told.wait("upstream.disconnected", number + 1)


async def test_displaced_three_times_is_a_conflict(
    redis_url: str, simulator: Simulator, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """``exmail.upstream.conflict``, a metric, a log line that says what to do, and minutes of peace."""
    with caplog.at_level(logging.ERROR):
        async with running_worker(redis_url, simulator, BRIDGE_PROVIDER_CONFLICT_PAUSE="120") as worker:
            await displaced(simulator, told, 3)
            [conflict] = await told.wait("upstream.conflict")
            assert 90_000 <= conflict["until"] - conflict["since"] <= 150_000
            assert "another listener" in conflict["why"]
            upstream = await told.redis.hgetall("{exmail}:upstream")
            assert upstream[b"state"] == b"disconnected"
            assert upstream[b"why"] == conflict["why"].encode()
            assert worker.metric("upstream_conflicts_total") == 1
            asked = len(simulator.calls.of("listen"))
            await told.redis.sadd("{exmail}:wanted", BOB)
            await until(lambda: worker.metric("reconciled_total", result="corrected") >= 1)
            assert len(simulator.calls.of("listen")) == asked, "it fights"
    assert [record for record in caplog.records if "another listener" in record.message]


async def test_after_the_pause_it_listens_again_and_tells_the_gap(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """What came in the pause is missed, like in any gap."""
    async with running_worker(redis_url, simulator, BRIDGE_PROVIDER_CONFLICT_PAUSE="1"):
        await displaced(simulator, told, 3)
        await told.wait("upstream.conflict")
        await told.wait("upstream.connected", 4)
        missed = await told.wait("upstream.missed", 3)
        assert missed[-1]["until"] - missed[-1]["since"] >= 750


async def test_cut_connections_are_no_conflict(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Resets are the network's."""
    async with running_worker(redis_url, simulator, BRIDGE_PROVIDER_CONFLICT_PAUSE="120") as worker:
        await listening(simulator, told)
        for number in range(4):
            await told.wait("upstream.connected", number + 1)
            await simulator.listeners.wait_hearing()
            await asyncio.sleep(0.15)
            simulator.cut(Cut.RST)
            await told.wait("upstream.disconnected", number + 1)
        assert worker.metric("upstream_conflicts_total") == 0


async def test_a_second_listener_that_is_served_too_disturbs_nobody(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """Both get every push; ours is one of them."""
    simulator.rules.second_listener = SecondListener.BOTH
    async with running_worker(redis_url, simulator), running_worker(redis_url, simulator, BRIDGE_NAMESPACE="other"):
        await simulator.listeners.wait_hearing(2)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert not await told.data("upstream.conflict")


async def test_two_bridges_that_displace_each_other_come_to_rest(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """At least one notices, and the other one listens."""
    simulator.rules.second_listener = SecondListener.DISPLACES
    environ = {"BRIDGE_PROVIDER_CONFLICT_PAUSE": "120"}
    async with (
        running_worker(redis_url, simulator, **environ) as one,
        running_worker(redis_url, simulator, BRIDGE_NAMESPACE="other", **environ) as two,
    ):
        workers = (one, two)
        await until(
            lambda: (
                sum(worker.metric("upstream_conflicts_total") for worker in workers) == 1
                and sum(worker.metric("upstream_connected") for worker in workers) == 1
            )
        )
