"""A whole bridge under a seeded schedule of faults, and what must be true of its history afterwards.

The driver runs the simulator, two workers, two edges and browsers on both transports, and breaks things. The checker
compares the simulator's truth, Redis, and what every browser saw.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import orjson
from redis.asyncio import Redis

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Cut, Defect, Kind, Simulator, World
from tests.support.follower import Follower
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import KEYS
from tests.support.waiting import until

_SLACK_MS = 1500
_EXPLAINED = ("expired", "epoch")


class Theatre:
    """One bridge, its provider, its browsers, and the deeds that break them. Everything follows from ``seed``."""

    def __init__(self, server: EmbeddedServer, seed: int) -> None:
        self.server = server
        self.seed = seed
        # Faults and traffic each have dice of their own: how many mails fit between two faults is up to the machine.
        self.random = random.Random(seed)
        self._dice = random.Random(seed + 1)
        self.world = World(seed, users=4)
        self.done: list[str] = []
        self.followers: list[Follower] = []
        self._stack = AsyncExitStack()
        self._programs: dict[str, Program] = {}
        self._start: dict[str, Callable[[], Awaitable[Program]]] = {}

    async def __aenter__(self) -> Theatre:
        stack = self._stack
        self.provider = await stack.enter_async_context(await Simulator.start(self.world))
        self.redis: Redis = RedisAddress(self.server.url).client()
        stack.push_async_callback(self.redis.aclose)
        await self.redis.config_set("appendfsync", "always")
        environ = worker_environ(self.server.url, self.provider, BRIDGE_WORKER_LEASE="1")
        for name in ("worker 1", "worker 2"):
            self._start[name] = lambda: stack.enter_async_context(program("worker", environ=environ))
        self.ports = [free_port(), free_port()]
        for number, port in enumerate(self.ports, 1):
            edge = edge_environ(self.server.url, port)
            self._start[f"edge {number}"] = lambda edge=edge: stack.enter_async_context(  # type: ignore[misc]
                program("edge", environ=edge)
            )
        for name in self._start:
            await self.begin(name)
        await self.provider.listeners.wait_hearing(1, timeout_s=20)
        await self._follow()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def begin(self, name: str) -> None:
        self._programs[name] = await self._start[name]()
        await self._programs[name].ready()

    async def _follow(self) -> None:
        for number, mailbox in enumerate(self.world.accounts):
            for transport in ("websocket", "sse"):
                port = self.ports[(number + (transport == "sse")) % 2]
                self.followers.append(Follower(f"http://127.0.0.1:{port}", transport, mailbox))
        tasks = [asyncio.create_task(follower.run(), name="browser") for follower in self.followers]

        async def leave() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

        self._stack.push_async_callback(leave)
        await until(lambda: all(follower.snapshots for follower in self.followers), within_s=20)

    # -- what happens

    async def play(self, faults: int) -> None:
        """Deliver and read mails all the while, and break something ``faults`` times."""
        traffic = asyncio.create_task(self._traffic(), name="traffic")
        try:
            for _ in range(faults):
                await asyncio.sleep(self.random.uniform(0.3, 1.0))
                await self._break_something()
        finally:
            traffic.cancel()
            await asyncio.wait([traffic])

    async def _traffic(self) -> None:
        boxes = list(self.world.accounts)
        names = 0
        while True:
            for _ in range(self._dice.randrange(1, 6)):
                self.world.deliver_mail(self._dice.choice(boxes))
            if self._dice.random() < 0.1:
                self.world.read(self._dice.choice(boxes), self._dice.randrange(1, 5))
            if self._dice.random() < 0.03:
                names += 1
                self.world.modify_user(self._dice.choice(boxes), name=f"name {names}")
            await asyncio.sleep(self._dice.uniform(0.005, 0.04))

    async def _break_something(self) -> None:
        deed = self.random.choice(
            (
                self.kill_worker,
                self.pause_worker,
                self.stop_worker,
                self.kill_edge,
                self.restart_redis,
                self.cut_pubsub,
                self.cut_upstream,
                self.spoil_pushes,
                self.make_provider_busy,
            )
        )
        self.done.append(deed.__name__)
        await deed()

    async def kill_worker(self) -> None:
        name = self.random.choice(("worker 1", "worker 2"))
        await self._programs[name].kill()
        await self.begin(name)

    async def stop_worker(self) -> None:
        name = self.random.choice(("worker 1", "worker 2"))
        await self._programs[name].stop()
        await self.begin(name)

    async def pause_worker(self) -> None:
        """Past its lease; the other leads; then it wakes."""
        worker = self._programs[self.random.choice(("worker 1", "worker 2"))]
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(self.random.uniform(0.5, 2.5))
        worker.signal(signal.SIGCONT)

    async def kill_edge(self) -> None:
        name = self.random.choice(("edge 1", "edge 2"))
        await self._programs[name].kill()
        await self.begin(name)

    async def restart_redis(self) -> None:
        self.server.kill()
        await asyncio.sleep(self.random.uniform(0, 1.0))
        await asyncio.to_thread(self.server.restart)

    async def cut_pubsub(self) -> None:
        await self.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    async def cut_upstream(self) -> None:
        self.provider.cut(self.random.choice((Cut.FIN, Cut.RST)))

    async def spoil_pushes(self) -> None:
        """Documents that cannot be read, among those that can."""
        for defect in self.random.sample(list(Defect), 2):
            self.provider.faults.on(Kind.MALFORMED, value=defect, times=1)

    async def make_provider_busy(self) -> None:
        self.provider.faults.on(Kind.ERRCODE, endpoint="user/*", value=1002, times=2)

    # -- afterwards

    async def calm(self) -> None:
        """Nothing is broken any more; wait until everybody has seen a last mail and the counts are right."""
        self.provider.faults.clear()
        await until(self._connected, within_s=30)
        await self.provider.listeners.wait_hearing(1, timeout_s=30)
        for _ in range(10):
            # A worker that has not learnt yet that it was deposed may take these; they are announced like others.
            last = {mailbox: self.world.deliver_mail(mailbox).mail_id for mailbox in self.world.accounts}
            with suppress(TimeoutError):
                await until(
                    lambda last=last: all(f.mail_ids[-1:] == [last[f.mailbox]] for f in self.followers),  # type: ignore[misc]
                    within_s=4,
                )
                break
        else:
            raise AssertionError("nothing arrives any more")
        await until(lambda: all(f.unread == self.world.unread[f.mailbox] for f in self.followers), within_s=30)
        await until(self._directory_current, within_s=30)

    async def _connected(self) -> bool:
        try:
            return await self.redis.hget(KEYS.upstream, "state") == b"connected" and bool(
                await self.redis.exists(KEYS.lease)
            )
        except Exception:  # the connection that the last fault cut
            return False

    async def _directory_current(self) -> bool:
        return int(await self.redis.get(KEYS.ver) or 0) == self.world.ver

    async def check(self) -> None:
        """Compare the provider's truth, Redis, and what every browser saw.

        Raises:
            AssertionError: a promise does not hold.
        """
        entries: Any = await self.redis.xrange(KEYS.events)
        events = [orjson.loads(fields[b"event"]) for _, fields in entries]
        self._check_stream([entry_id.decode() for entry_id, _ in entries])
        await self._check_generations()
        missed = [event["data"] for event in events if event["type"] == "exmail.upstream.missed"]
        for mailbox in self.world.accounts:
            own = [event for event in events if event["source"].endswith(f"/mailbox/{mailbox}")]
            self._check_mailbox(mailbox, own, missed)
            for follower in self.followers:
                if follower.mailbox == mailbox:
                    self._check_browser(follower, own)
        await self._check_directory(events)

    def _check_stream(self, ids: list[str]) -> None:
        """No hole within a generation; generations grow."""
        numbers: dict[int, list[int]] = {}
        for entry_id in ids:
            generation, _, number = entry_id.partition("-")
            numbers.setdefault(int(generation), []).append(int(number))
        assert list(numbers) == sorted(numbers)
        assert all(found == list(range(len(found))) for found in numbers.values())
        # Redis confirmed nothing that it then lost; but a worker that did not lead before cannot know that of a
        # server that was restarted.
        assert len(numbers) <= 1 + self.done.count("restart_redis"), f"generations {list(numbers)}"
        self._generations = len(numbers)

    async def _check_generations(self) -> None:
        for mailbox in self.world.accounts:
            assert await self.redis.hget(KEYS.state(mailbox), "generation") == await self.redis.get(KEYS.generation)

    def _check_mailbox(self, mailbox: str, own: list[dict[str, Any]], missed: list[dict[str, Any]]) -> None:
        epochs: dict[str, list[int]] = {}
        for event in own:
            epochs.setdefault(event["id"].partition("-")[0], []).append(int(event["sequence"]))
        assert len(epochs) <= self._generations
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in epochs.values()), mailbox
        committed = [event["data"]["mail_id"] for event in own if event["type"] == "exmail.mail.new"]
        assert len(committed) == len(set(committed)), "a mail was published twice"
        sent = {mail.mail_id: mail for mail in self.world.mails_of(mailbox)}
        assert committed == [mail_id for mail_id in sent if mail_id in set(committed)], "order"
        for mail_id in sent.keys() - set(committed):
            sent_ms = sent[mail_id].time_s * 1000
            assert not sent[mail_id].pushed or any(
                (gap["since"] or 0) - _SLACK_MS <= sent_ms <= gap["until"] + _SLACK_MS for gap in missed
            ), f"{mail_id} was pushed, is not committed, and no gap was announced for it"

    def _check_browser(self, follower: Follower, own: list[dict[str, Any]]) -> None:
        """Each event once and in order, from the first position to the last; a break is explained."""
        for snapshot in follower.snapshots[1:]:
            assert snapshot["resumed"] or snapshot["reason"] in _EXPLAINED, snapshot["reason"]
        resumed = all(snapshot["resumed"] for snapshot in follower.snapshots[1:])
        seen = [event["id"] for event in follower.events]
        assert len(seen) == len(set(seen)), "twice"
        first = int(follower.snapshots[0]["position"].partition("-")[2])
        expected = [event["id"] for event in own[first:]]
        if resumed:
            assert seen == expected, f"{follower.transport} {follower.mailbox}"
        else:
            assert seen == [event_id for event_id in expected if event_id in set(seen)]

    async def _check_directory(self, events: list[dict[str, Any]]) -> None:
        mirror: Any = await self.redis.hgetall(KEYS.directory)
        stored = {alias.decode(): orjson.loads(profile) for alias, profile in mirror.items()}
        truth = self.world.accounts
        assert {alias: profile["name"] for alias, profile in stored.items()} == {
            alias: account.name for alias, account in truth.items()
        }
        vers = [event["data"]["to_ver"] for event in events if event["type"] == "exmail.directory.synced"]
        assert vers == sorted(vers), "the cursor went back"
