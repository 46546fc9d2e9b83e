"""``python -m tests.bench.cluster``: what a mail costs each node of a real cluster of three.

Mails are committed by the worker's own writer, in turns with plain channels, with sharded ones beside them, and with
sharded ones instead; an edge's subscription hears every mailbox. Printed is CPU time of the servers, without what they
take while nothing happens: of the node that holds the namespace, and the mean of the others. A last line sends the bare
commands, so that one can see what of a mail they are.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, get_args

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.keys import Keys
from bridge.journal.sharded import Sharded
from bridge.journal.subscription import Subscription
from bridge.journal.writer import Writer
from tests.bench.stage import Process, facts
from tests.support.cluster import ClusterSet
from tests.support.stage import mail

BATCH: Final = 64
IDLE_S: Final = 2.0
WAYS: Final[dict[Sharded, str]] = {
    "off": "PUBLISH alone",
    "beside": "PUBLISH, and SPUBLISH beside it",
    "instead": "SPUBLISH for the mailbox, PUBLISH for its kind",
}
SUMMARY: Final = "什么" * 40
"""With it an event has some 600 bytes."""

Spent = tuple[float, float]
"""Microseconds for each mail: of the node that holds the namespace, of each other one."""


class Nodes:
    """The servers of a cluster, and what they take by themselves, in CPU seconds a second."""

    def __init__(self, cluster: ClusterSet) -> None:
        owner = cluster.owner
        servers = [owner, *(server for server in cluster.servers if server is not owner)]
        self._processes = [Process(server.server.pid or 0, lambda: True) for server in servers]
        self._idle = [0.0] * len(servers)

    async def rest(self) -> None:
        """See what nothing costs: nodes ask after each other."""
        before, began = self._cpu(), time.monotonic()
        await asyncio.sleep(IDLE_S)
        seconds = time.monotonic() - began
        self._idle = [(now - then) / seconds for now, then in zip(self._cpu(), before, strict=True)]

    async def spend(self, what: Callable[[], Awaitable[int]]) -> Spent:
        """What each of so many things cost."""
        before, began = self._cpu(), time.monotonic()
        times = await what()
        seconds = time.monotonic() - began
        spent = [
            (now - then - idle * seconds) / times * 1e6
            for now, then, idle in zip(self._cpu(), before, self._idle, strict=True)
        ]
        return spent[0], statistics.mean(spent[1:])

    def _cpu(self) -> list[float]:
        return [process.cpu_s for process in self._processes]


@asynccontextmanager
async def heard(address: RedisAddress, keys: Keys, mailboxes: Sequence[str]) -> AsyncIterator[None]:
    """An edge's subscription to every mailbox."""
    subscription = Subscription(lambda messages: None)
    await subscription.connect(address)
    sharded = keys.sharded != "off"
    await subscription.subscribe(
        [keys.mailbox_channel(mailbox, sharded=sharded) for mailbox in mailboxes], sharded=sharded
    )
    yield
    subscription.close()


async def committed(
    address: RedisAddress, nodes: Nodes, sharded: Sharded, mails: int, mailboxes: Sequence[str]
) -> Spent:
    """What a mail costs, with a writer that publishes so."""
    keys = Keys("exmail", sharded)
    redis = address.client(timeout_s=60)
    writer = Writer(redis, keys, lease_s=3600, retention=Retention())
    assert await writer.claim() is not None
    calls = [
        mail(f"{sharded}-{time.monotonic_ns()}-{number}", number, mailboxes[number % len(mailboxes)], subject=SUMMARY)
        for number in range(mails)
    ]

    async def commit() -> int:
        for start in range(0, mails, BATCH):
            await writer.commit(calls[start : start + BATCH])
        return mails

    try:
        async with heard(address, keys, mailboxes):
            return await nodes.spend(commit)
    finally:
        await writer.release()
        await redis.aclose()


async def published(address: RedisAddress, nodes: Nodes, command: str, times: int) -> Spent:
    """What the bare command costs."""
    redis = address.client(timeout_s=60)
    channel, event = ("{exmail}" if command == "SPUBLISH" else "exmail") + ":mailbox:nobody@bench.cn", b"x" * 600

    async def publish() -> int:
        for _ in range(0, times, BATCH):
            pipeline = redis.pipeline(transaction=False)
            for _ in range(BATCH):
                pipeline.execute_command(command, channel, event)
            await pipeline.execute()
        return times // BATCH * BATCH

    try:
        return await nodes.spend(publish)
    finally:
        await redis.aclose()


async def measure(binary: Path | None, mails: int, rounds: int) -> None:
    mailboxes = [f"u{number}@bench.cn" for number in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        async with ClusterSet(Path(folder), replicas=0, binary=binary) as cluster:
            address, nodes = RedisAddress(cluster.url, namespace="exmail"), Nodes(cluster)
            # Once for nothing: keys, scripts and histories are there afterwards, as in a bridge that has run for long.
            await committed(address, nodes, "off", mails, mailboxes)
            found: dict[str, list[Spent]] = {}
            for _ in range(rounds):
                await nodes.rest()
                for way in get_args(Sharded):
                    found.setdefault(WAYS[way], []).append(await committed(address, nodes, way, mails, mailboxes))
                for command in ("PUBLISH", "SPUBLISH"):
                    spent = await published(address, nodes, command, mails)
                    found.setdefault(f"the bare command {command}", []).append(spent)
    print("| of each mail | the node that holds the namespace | each other node |\n|---|--:|--:|")
    for name, each in found.items():
        owner, others = (statistics.median(spent[which] for spent in each) for which in (0, 1))
        print(f"| {name} | {owner:.1f} µs | {others:.1f} µs |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--server", help="a Redis or Valkey server (default: the one that the tests use)")
    parser.add_argument("--mails", type=int, default=20_000, help="for each way and round (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="the middle one counts (default: 5)")
    options = parser.parse_args()
    binary = shutil.which(options.server) if options.server else None
    if options.server and binary is None:
        print(f"there is no {options.server}", file=sys.stderr)
        return 2
    print(f"{facts()}; load {os.getloadavg()[0]:.1f}")
    asyncio.run(measure(Path(binary) if binary else None, options.mails, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
