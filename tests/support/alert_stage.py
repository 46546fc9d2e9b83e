"""A stage for alerts: the whole bridge as real programs, a Prometheus that looks at them, and rules in a hurry."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator
from tests.deploy.programs import accepts
from tests.support.browser_side import SseClient, open_sse
from tests.support.clicks import credentials
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.prometheus import RULES, Prometheus, scraping
from tests.support.redis_proxy import RedisProxy, redis_proxy
from tests.support.stage import SECRET, bearer
from tests.support.waiting import until
from tests.support.workers import simulating

MAILBOXES = 5
BROWSERS = 60
SMALL = {
    # What lasts hours, and what takes hundreds of something.
    "_timestamp_seconds > 0) > 300": "_timestamp_seconds > 0) > 2",
    # It comes once a minute: here whoever has run for a while and never heard one counts.
    "_heard_timestamp_seconds > 180": "_heard_timestamp_seconds > 100000"
    " and on (job, instance) time() - process_start_time_seconds > 15",
    "_cursor_age_seconds > 900": "_cursor_age_seconds > 1",
    "_held_age_seconds) > 86400": "_held_age_seconds) > 1",
    "_owed_age_seconds) > 3600": "_owed_age_seconds) > 1",
    "_backlog_age_seconds > 30": "_backlog_age_seconds > 1",
    "[15m])) > 10\n        for": "[15m])) > 3\n        for",
    '|top"}[15m])) > 20': '|top"}[15m])) > 3',
    "_reconnects_total[15m])) > 5": "_reconnects_total[15m])) > 2",
    "_slow_cuts_total[15m])) > 50": "_slow_cuts_total[15m])) > 1",
}


def hurried() -> str:
    """The rules that we ship, with seconds for minutes."""
    rules = (RULES / "rules.yml").read_text()
    for large, small in SMALL.items():
        assert rules.count(large) == 1, large
        rules = rules.replace(large, small)
    rules = re.sub(r"for: \d+m", "for: 1s", rules)
    for long, short in (
        ("[1d:1m]", "[1m:250ms]"),
        ("[1h]", "[15s]"),
        ("[15m]", "[15s]"),
        ("[10m]", "[4s]"),
        ("[5m]", "[10s]"),
        ("offset 15m", "offset 5s"),
        ("offset 10m", "offset 3s"),
    ):
        rules = rules.replace(long, short)
    assert not re.search(r"\b\d+[mhd]\b(?!s)", rules.replace("[1m:250ms]", "")), "a time that is not made small"
    return rules


def named() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", (RULES / "rules.yml").read_text()))


@dataclass
class Stage:
    """What stands on it. ``way`` and ``edge_way`` lead the leader and the edge to Redis."""

    simulator: Simulator
    server: EmbeddedServer
    redis: Any
    way: RedisProxy
    edge_way: RedisProxy
    prometheus: Prometheus
    leader: Program
    standby: Program
    edge: Program
    ports: dict[str, int]
    browsers: list[SseClient] = field(default_factory=list)
    looking: list[asyncio.Task[None]] = field(default_factory=list)
    since: float = field(default_factory=time.time)

    @property
    def edge_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['public']}"

    @property
    def mailboxes(self) -> list[str]:
        return list(self.simulator.world.accounts)[:MAILBOXES]

    async def fired(self) -> set[str]:
        """What has fired since the stage was built: a Prometheus that has seen nothing yet misses a leader."""
        return await self.prometheus.fired(within_s=time.time() - self.since)

    async def fires(self, *alerts: str) -> None:
        """Return when these have fired at some time."""

        async def all_fired() -> bool:
            return set(alerts) <= await self.fired()

        try:
            await until(all_fired)
        except TimeoutError:
            missing = set(alerts) - await self.fired()
            raise AssertionError(f"{missing} did not fire; {await self.prometheus.firing()} fire now") from None


@asynccontextmanager
async def staged(prometheus_program: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """All well, mail flowing, everybody connected. ``tmp_path`` is a folder that may be written to."""
    names = ("redis", "first", "second", "rival", "edge", "stray", "signon", "public", "stray public", "clicks")
    ports = {name: free_port() for name in names}
    async with AsyncExitStack() as stack:
        server = stack.enter_context(EmbeddedServer(tmp_path / "valkey", port=ports["redis"]))
        simulator = await stack.enter_async_context(simulating(users=30))
        ways = [await stack.enter_async_context(redis_proxy(server.url)) for _ in range(3)]
        workers = [
            await stack.enter_async_context(program("worker", environ=worker_of(way.url, simulator, ports[name])))
            for way, name in zip(ways, ("first", "second"), strict=False)
        ]
        edge = await stack.enter_async_context(program("edge", environ=edge_of(ways[2].url, ports, "edge", "public")))
        signon = {
            **credentials(simulator),
            "BRIDGE_REDIS_URL": server.tcp_url,
            "BRIDGE_EDGE_JWT_SECRET": SECRET,
            "BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{ports['clicks']}",
            "BRIDGE_SIGNON_ADMIN_LISTEN": f"127.0.0.1:{ports['signon']}",
        }
        await stack.enter_async_context(program("signon", environ=signon))
        targets = {
            "worker": [ports["first"], ports["second"]],
            "edge": [ports["edge"]],
            "signon": [ports["signon"]],
        }
        prometheus = await stack.enter_async_context(scraping(prometheus_program, tmp_path, targets, rules=hurried()))
        await asyncio.gather(*(worker.ready() for worker in workers))
        await until(lambda: accepts(ports["public"]) and accepts(ports["clicks"]))
        await until(lambda: any(worker.said("listen session online") for worker in workers))
        leads = 0 if workers[0].said("leading") else 1
        simulator.traffic.rate_per_s = 100
        redis = await stack.enter_async_context(Redis.from_url(server.tcp_url))
        leader, standby = workers[leads], workers[1 - leads]
        made = Stage(simulator, server, redis, ways[leads], ways[2], prometheus, leader, standby, edge, ports)
        for number in range(BROWSERS):
            browser = await open_sse(made.edge_url, **bearer(made.mailboxes[number % MAILBOXES]))
            made.browsers.append(browser)
            made.looking.append(asyncio.create_task(_look(browser), name="browser"))
        try:
            yield made
        finally:
            for task in made.looking:
                task.cancel()


async def _look(browser: SseClient) -> None:
    with suppress(OSError):
        while await browser.reader.read(65_536):
            continue


def worker_of(redis_url: str, simulator: Simulator, port: int) -> dict[str, str]:
    return worker_environ(
        redis_url,
        simulator,
        BRIDGE_WORKER_ADMIN_LISTEN=f"127.0.0.1:{port}",
        # Two take the lead from each other here, and are waited for each time.
        BRIDGE_WORKER_LEASE="5",
        BRIDGE_PROVIDER_LISTEN_SILENCE="1",
        BRIDGE_PROVIDER_CONFLICT_PAUSE="3",
        BRIDGE_EVENTS_MAX="1000",
    )


def edge_of(redis_url: str, ports: dict[str, int], admin: str, public: str) -> dict[str, str]:
    listen = f"127.0.0.1:{ports[admin]}"
    return edge_environ(redis_url, ports[public], BRIDGE_EDGE_ADMIN_LISTEN=listen)
