"""``python -m tests.bench.takeover``: how long nobody listens when a leader is killed or stops, and what that costs.

Printed for each way: the time from the signal until another worker's listen session stands, and how many of the mails
that come at a steady rate are never announced. Where nobody stands by, the next process is started one second after
the end, as the systemd unit does it; that second and the start of the program are part of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import orjson
import redis.asyncio

from bridge.simulator import Simulator, World
from tests.bench.stage import facts, valkey
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import KEYS
from tests.support.waiting import until

WAIT_S = 60.0
RESTART_S = 1.0
"""RestartSec of the unit."""
RATE = 20.0
WAYS = (
    ("killed, a standby on its host", signal.SIGKILL, True),
    ("killed, started again", signal.SIGKILL, False),
    ("stopped in order, a standby", signal.SIGTERM, True),
)


def summed(seconds: list[float], lost: int) -> str:
    ordered, times = sorted(seconds), len(seconds)
    p99 = ordered[min(times - 1, round(times * 0.99))]
    return (
        f"{times} times: median {statistics.median(ordered):.2f} s, p99 {p99:.2f} s, longest {ordered[-1]:.2f} s; "
        f"{lost / times:.1f} mails lost each time at {RATE:.0f} a second"
    )


@asynccontextmanager
async def steady_mail(world: World) -> AsyncIterator[list[str]]:
    """Mails come at :data:`RATE`; the list is of their ids."""
    sent: list[str] = []

    async def deliver() -> None:
        while True:
            sent.append(world.deliver_mail().mail_id)
            await asyncio.sleep(1 / RATE)

    task = asyncio.create_task(deliver(), name="mails")
    try:
        yield sent
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def listens(worker: Program) -> None:
    await until(lambda: bool(worker.said("listen session online")), within_s=WAIT_S)


async def taken_over(
    url: str, world: World, environ: dict[str, str], way: tuple[str, signal.Signals, bool], n: int
) -> str:
    """End ``n`` leaders one way, one after the other."""
    _, number, has_standby = way
    seconds: list[float] = []
    async with AsyncExitStack() as stack, steady_mail(world) as sent:

        def start() -> AbstractAsyncContextManager[Program]:
            return program("worker", environ=environ)

        # A leader asks the edges what they remember before it commits; where there is none it waits for one.
        edge = await stack.enter_async_context(program("edge", environ=edge_environ(url, free_port())))
        await edge.ready()
        leader = await stack.enter_async_context(start())
        await listens(leader)
        first = len(sent)
        for _ in range(n):
            following = await stack.enter_async_context(start()) if has_standby else None
            if following is not None:
                await following.heard("standing by, another worker leads")
            began = time.monotonic()
            leader.signal(number)
            await leader.ended()
            if following is None:
                await asyncio.sleep(RESTART_S)
                following = await stack.enter_async_context(start())
            await listens(following)
            seconds.append(time.monotonic() - began)
            await asyncio.sleep(1)
            leader = following
        wanted = set(sent[first:])
        assert await leader.stop() == 0
    async with redis.asyncio.Redis.from_url(url) as client:
        events = [orjson.loads(fields[b"event"]) for _, fields in await client.xrange(KEYS.events)]
    return summed(seconds, len(wanted - {event["data"].get("mail_id") for event in events}))


async def run(times: int) -> int:
    print(facts())
    with valkey() as (server, _):
        async with await Simulator.start(World(7, users=50)) as provider:
            environ = worker_environ(server.tcp_url, provider, BRIDGE_WORKER_LEASE="10")
            for way in WAYS:
                print(f"{way[0]}: {await taken_over(server.tcp_url, provider.world, environ, way, times)}", flush=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.takeover", description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="of each way (default: 100)")
    sys.exit(asyncio.run(run(parser.parse_args().times)))
