"""``python -m tests.bench.endurance``: the whole bridge under steady load for long, and whether anything grows.

A provider that pushes at a rate and changes its directory each second, two workers, an edge, and thousands of people
who come and go (:mod:`.visitors`); at half time the leader is killed (kill -9) and a standby takes over. Every half
minute a line: memory, descriptors and tasks of each program, Redis's memory, keys and channels, how long mails took to
the socket. At the end a line is laid through the readings behind the failover, and nobody may lack a mail: exit code 1
if something grows, or if anything is missing that is not told.

Mails go to so few mailboxes that all that is kept of one is full before half time: then Redis's memory can be flat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.journal.calls import SEEN_ENTRIES
from bridge.simulator import Simulator, World
from tests.bench.flatness import growth, is_flat
from tests.bench.stage import facts, valkey
from tests.bench.visitors import stamp
from tests.support.processes import ROOT, Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import KEYS, SECRET
from tests.support.waiting import until

SETTLING_S: Final = 60.0
"""Behind the failover, before readings count."""
GRACE_S: Final = 2.0
"""Around the time without a listener, in which mails may be lost with the leader that had read them."""
WITHIN_S: Final = 120.0
_BATCHES: Final = 50.0

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "MB": (0.03, 4.0),
    "descriptors": (0.01, 20.0),
    "tasks": (0.01, 10.0),
    "Redis MB": (0.01, 2.0),
    "keys": (0.005, 20.0),
    "channels": (0.01, 20.0),
    "p50 ms": (0.5, 3.0),
    "p99 ms": (0.5, 10.0),
}
"""By the end of a series' name: what it may gain behind the failover, as a share of its mean, and in its own unit."""


@dataclass
class Traffic:
    """What the provider pushes. ``sent``: how many mails; ``at``: the number when each second began."""

    world: World
    mailboxes: list[str]
    rate: float
    sent: int = 0
    at: list[tuple[float, int]] = field(default_factory=list)

    async def flow(self) -> None:
        """Push until cancelled, evenly, in small batches."""
        began = time.monotonic()
        while True:
            for _ in range(int((time.monotonic() - began) * self.rate) - self.sent):
                self.world.deliver_mail(self.mailboxes[self.sent % len(self.mailboxes)], subject=stamp())
                self.sent += 1
            self.at.append((time.monotonic(), self.sent))
            await asyncio.sleep(1 / _BATCHES)

    async def change(self) -> None:
        """Somebody is renamed each second, until cancelled."""
        number = 0
        while True:
            self.world.modify_user(self.mailboxes[number % len(self.mailboxes)], name=f"Name {number}")
            number += 1
            await asyncio.sleep(1.0)

    def between(self, begin: float, end: float) -> int:
        """How many were pushed between these moments."""
        inside = [sent for at, sent in self.at if begin <= at <= end]
        return inside[-1] - inside[0] if inside else 0


class People:
    """The visitors' process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer


@asynccontextmanager
async def people(port: int, mailboxes: list[str], churn: float) -> AsyncIterator[People]:
    """All have come."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.visitors"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 24,
    )
    try:
        visitors = People(process)
        await visitors.ask(port=port, mailboxes=mailboxes, secret=SECRET, churn=churn)
        yield visitors
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Readings:
    """What was read, by the name of each series."""

    def __init__(self, folder: Path, client: Any) -> None:
        self._folder = folder
        self._client = client
        self.series: dict[str, list[tuple[float, float]]] = {}

    def take(self, at: float, programs: Mapping[str, Program], report: Mapping[str, Any]) -> str:
        """Read all, and return it as a line."""
        found: dict[str, float] = {}
        for name, running in programs.items():
            status = Path(f"/proc/{running.pid}/status").read_text("ascii").splitlines()
            found[f"{name} MB"] = int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024
            found[f"{name} descriptors"] = len(os.listdir(f"/proc/{running.pid}/fd"))
            found[f"{name} tasks"] = int((self._folder / f"{name}.tasks").read_text("ascii").strip() or 0)
        found["Redis MB"] = self._client.info("memory")["used_memory"] / 1e6
        found["keys"] = self._client.dbsize()
        found["channels"] = len(self._client.pubsub_channels())
        found |= {f"{which} ms": report[f"{which}_ms"] for which in ("p50", "p99")}
        for name, value in found.items():
            self.series.setdefault(name, []).append((at, value))
        told = ", ".join(f"{name} {value:,.1f}".removesuffix(".0") for name, value in found.items())
        return f"{at:6.0f} s: {told}; {report['open']} open, {report['mails']} mails, load {os.getloadavg()[0]:.1f}"

    def verdict(self, since: float) -> list[str]:
        """The series that grow behind this moment, a line each."""
        grown = []
        for name, readings in self.series.items():
            counted = [(at, value) for at, value in readings if at >= since]
            if len(counted) < 3:
                continue
            share, least = next(bound for unit, bound in BOUNDS.items() if name.endswith(unit))
            found = growth(counted)
            flat = is_flat(found, share=share, least=least)
            print(
                f"{name}: mean {found.mean:,.1f}, gains {found.gained:+,.2f} in {counted[-1][0] - counted[0][0]:.0f} s"
            )
            if not flat:
                grown.append(f"{name} grows: {found.gained:+,.2f}, surely {found.sure:,.2f}")
        return grown


class Trial:
    """One run. ``programs``: those that are there now, by the name of their series."""

    def __init__(self, options: argparse.Namespace, folder: Path, redis_url: str, client: Any) -> None:
        self._options = options
        self._folder = folder
        self._url = redis_url
        self._client = client
        self.programs: dict[str, Program] = {}
        self.faults: list[str] = []
        self.silent: tuple[float, float] = (0.0, 0.0)

    async def start(self, stack: AsyncExitStack, name: str, command: str, environ: dict[str, str]) -> Program:
        noted = self._folder / f"{name}.tasks"
        noted.write_text("0")
        running = await stack.enter_async_context(
            program(str(noted), command, environ=environ, module="tests.bench.counted")
        )
        self.programs[name] = running
        return running

    async def run(self) -> int:
        options = self._options
        # All that is kept of one is full after two fifths of the time.
        busy = max(1, int(options.minutes * 60 * options.rate * 0.4 / SEEN_ENTRIES))
        world = World(7, users=options.clients, mails_kept=1000)
        mailboxes = list(world.accounts)
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(await Simulator.start(world))
            kept = max(1000, min(50_000, busy * SEEN_ENTRIES // 2))
            work = worker_environ(self._url, provider, BRIDGE_WORKER_LEASE="10", BRIDGE_EVENTS_MAX=str(kept))
            leader = await self.start(stack, "first leader", "worker", work)
            await until(lambda: bool(leader.said("listen session online")), within_s=WITHIN_S)
            await until(lambda: self._client.hlen(KEYS.directory) == len(mailboxes), within_s=WITHIN_S)
            following = await self.start(stack, "second leader", "worker", work)
            await until(lambda: bool(following.said("standing by, another worker leads")), within_s=WITHIN_S)
            port = free_port()
            edge = await self.start(stack, "edge", "edge", edge_environ(self._url, port))
            await edge.ready()
            visitors = await stack.enter_async_context(people(port, mailboxes, options.churn))
            print(f"{options.clients} people are there; {options.rate} mails a second to {busy} mailboxes", flush=True)
            traffic = Traffic(world, mailboxes[:busy], options.rate)
            readings = Readings(self._folder, self._client)
            flowing = [asyncio.create_task(traffic.flow()), asyncio.create_task(traffic.change())]
            began, seen = time.monotonic(), 0
            half_s = options.minutes * 30
            while (at := time.monotonic() - began) < options.minutes * 60:
                if "first leader" in self.programs and at >= half_s:
                    await self._fail_over(stack, leader, following, work)
                await asyncio.sleep(options.every)
                report = await visitors.ask(report=True)
                seen += report["mails"]
                self._judge(report)
                print(readings.take(time.monotonic() - began, self.programs, report), flush=True)
            for task in flowing:
                task.cancel()
            await asyncio.wait(flowing)
            await self._nothing_is_missing(visitors, traffic, seen)
            self.faults += readings.verdict(half_s + SETTLING_S)
        for fault in self.faults:
            print(f"FAULT: {fault}")
        if not self.faults:
            print("nothing grows, nobody lacks a mail")
        return 1 if self.faults else 0

    async def _fail_over(
        self, stack: AsyncExitStack, leader: Program, following: Program, environ: dict[str, str]
    ) -> None:
        killed_at = time.monotonic()
        await leader.kill()
        del self.programs["first leader"]
        await until(lambda: bool(following.said("listen session online")), within_s=WITHIN_S)
        self.silent = killed_at - GRACE_S, time.monotonic() + GRACE_S
        print(f"the leader was killed; another listens after {time.monotonic() - killed_at:.1f} s", flush=True)
        await self.start(stack, "standby", "worker", environ)

    def _judge(self, report: Mapping[str, Any]) -> None:
        for what in ("lost", "twice", "anew"):
            if report[what]:
                self.faults.append(f"{report[what]} {what}")
        if report["closed"]:
            self.faults.append(f"connections that were ended: {report['closed']}")

    async def _nothing_is_missing(self, visitors: People, traffic: Traffic, seen: int) -> None:
        """Everybody is back and has been told up to the last; what is not among it was pushed while nobody listened."""

        async def told() -> bool:
            answer = await visitors.ask(tops=True, churn=0)
            pipeline = self._client.pipeline(transaction=False)
            for mailbox in answer["tops"]:
                pipeline.hmget(KEYS.state(mailbox), "epoch", "seq")
            stored = [f"{epoch.decode()}-{seq.decode()}" for epoch, seq in pipeline.execute()]
            return answer["open"] == len(answer["tops"]) and stored == list(answer["tops"].values())

        try:
            await until(told, within_s=WITHIN_S)
        except TimeoutError:
            self.faults.append("somebody has not been told what is stored")
        report = await visitors.ask(report=True)
        self._judge(report)
        lacking = traffic.sent - seen - report["mails"]
        unheard = traffic.between(*self.silent)
        print(f"{traffic.sent:,} mails were pushed, {lacking} of them while nobody listened ({unheard} at the most)")
        if not 0 <= lacking <= unheard:
            self.faults.append(f"{lacking} mails are missing, and {unheard} can be explained")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endurance", description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds from one reading to the next (default: 30)")
    parser.add_argument("--rate", type=float, default=1000.0, help="mails a second (default: 1000)")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument(
        "--churn", type=float, default=20.0, help="how many leave and come back each second (default: 20)"
    )
    options = parser.parse_args()
    print(facts())
    with tempfile.TemporaryDirectory() as folder, valkey() as (server, client):
        return asyncio.run(Trial(options, Path(folder), server.tcp_url, client).run())


if __name__ == "__main__":
    sys.exit(main())
