"""An operator restarts the one Redis that there is, and it takes longer than a lease."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress

import pytest
import redis as redis_sync
from redis.exceptions import ConnectionError as RedisConnectionError

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator
from tests.e2e.test_failover import product, provider, what_was_lost
from tests.e2e.test_kill import stored_events
from tests.support.processes import program, worker_environ
from tests.support.stage import BOB, KEYS
from tests.support.waiting import until

__all__ = ["provider"]

LEASE_S = 60
"""So long that nobody's clock shows that it is over while the machine stands still: see ``ended``."""


def ended(server: EmbeddedServer) -> None:
    """Shut down in one go with a lease that then lasts for another second: the next process has none."""
    with redis_sync.Redis.from_url(server.url) as client, suppress(RedisConnectionError):
        both = client.pipeline(transaction=False)
        both.pexpire(KEYS.lease, 1000)
        both.execute_command("SHUTDOWN")
        both.execute()


@pytest.mark.parametrize("worker", ["stays", "is killed meanwhile"])
async def test_what_a_long_restart_of_redis_costs(own_server: EmbeddedServer, provider: Simulator, worker: str) -> None:
    """The worker that led stays, and a standby beside it: pages resume, and what was pushed meanwhile arrives. With the
    worker goes all that is known of how Redis ended: a new generation."""
    environ = worker_environ(own_server.url, provider, BRIDGE_WORKER_LEASE=str(LEASE_S))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(product(own_server.url, provider, lease_s=LEASE_S))
        if worker == "stays":
            standby = await stack.enter_async_context(program("worker", environ=environ))
            await standby.heard("standing by, another worker leads")
        await running.arrived(running.deliver(3))
        ended(own_server)
        # For a leader that stays, more: it tries again each second, and must have seen in time that nobody is there.
        lease_ends = time.monotonic() + (8 if worker == "stays" else 2)
        # A push that is sent to the server that ended may have been stored, for all that the worker knows. That it was
        # asked later, and answered, shows that it has seen the end.
        await until(lambda: own_server.pid is None)
        await running.worker.admin("/metrics")
        running.deliver(3)
        await running.worker.heard("journal away, waiting to commit")
        if worker != "stays":
            await running.worker.kill()
        await until(lambda: time.monotonic() > lease_ends)
        await asyncio.to_thread(own_server.restart)
        if worker != "stays":
            await stack.enter_async_context(program("worker", environ=environ))
            await what_was_lost(own_server.url)
            await running.arrived(running.deliver(1))
            running.assert_told_of_the_new_epoch()
        else:
            await running.arrived(running.deliver(1))
            assert len(running.epochs()) == 1
            sent = [mail.mail_id for mail in running.world.mails_of(BOB)]
            assert all(browser.mail_ids == sent for browser in running.browsers)
            assert all(snapshot["resumed"] for browser in running.browsers for snapshot in browser.snapshots[1:])
            [again] = running.worker.said("lease claimed again")
            assert again["new_generation"] is False
            assert "exmail.upstream.missed" not in {event["type"] for event in stored_events(own_server.url)}
        running.assert_no_position_twice()
