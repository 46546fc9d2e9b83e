"""A whole bridge: provider, two workers, two edges, browsers on both transports, and a reader of the stream.

Programs reach Redis through two proxies that can be made faulty, one for the workers and one for the edges. Faults are
injected by ``injection``; ``checker`` says what must be true afterwards.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Dialect, Framing, Rules, Simulator, World
from tests.support.follower import Follower
from tests.support.history import persons
from tests.support.history.staff import Staff
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import KEYS
from tests.support.waiting import PATIENCE_S, until

WORKERS: Final = ("worker 1", "worker 2")
EDGES: Final = ("edge 1", "edge 2")
GROUP: Final = "workflow"
SILENCE_S: Final = 1
LEASE_S: Final = 1
DURABLE: Final = {"appendfsync": "always"}
"""How the server is configured, at each of its starts: what is confirmed is on disk, or a restart would lose it."""

HOSTILE: Final = (
    "\u202egnp.exe\u202c \u2066x\u2069",
    "<img src=x onerror=alert(1)>",
    "a\x00b\x1b[31mred\r\nX-Injected: 1",
    "{${jndi:ldap://x}} %n%s {{7*7}}",
    "😀" * 300,
    "x" * 40_000,
)
"""Subjects that somebody chose."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The cursor, who is owed, and the mirror's names and aliases, read in one step.

    ``names``: alias → number within its name; ``slaves``: further address → account. ``at``: monotonic clock, after
    reading.
    """

    ver: int
    names: dict[str, int]
    slaves: dict[str, str]
    owed: set[str]
    at: float


class Harness:
    """One bridge, its provider and its users.

    The traffic follows from ``seed``, and where no ``dialect`` is given how the provider frames its pushes.
    ``environs``: what a program has in its environment besides, by its name.
    """

    def __init__(
        self,
        server: EmbeddedServer,
        seed: int,
        *,
        dialect: Dialect | None = None,
        people: bool = False,
        environs: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        self._environs = environs
        self.behind_ms = 0
        """How much less the clock of the server says that came to be the master."""
        self.server = server
        self.seed = seed
        # Faults and traffic each have dice of their own: how many mails fit between two faults is up to the machine.
        self._dice = random.Random(seed + 1)
        self._dialect = dialect or Dialect(framing=list(Framing)[seed % len(Framing)])
        self.world = World(seed, users=4)
        self.people = people
        self.boxes = list(self.world.accounts)
        """Mailboxes of those who stay, whatever comes."""
        self.done: list[str] = []
        self.rivals: set[int] = set()
        """Ports of listeners that are not ours."""
        self.followers: list[Follower] = []
        self.sights: list[Sight] = []
        self.renamed: list[tuple[int, str, int]] = []
        """Ver, alias, number within its new name."""
        self.read_ids: list[str] = []
        """What the reader of the stream was given, in order."""
        self.programs: dict[str, Program] = {}
        self.lives: list[tuple[str, Program]] = []
        """Every start of a program, those that have ended too."""
        self._stack = AsyncExitStack()
        self._start: dict[str, Callable[[], Awaitable[Program]]] = {}

    @property
    def untouched(self) -> list[str]:
        """The mailboxes that nobody reads, so that their counts tell of every mail."""
        return self.boxes[2:]

    async def __aenter__(self) -> Harness:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        stack = self._stack
        rules = Rules(poll_hold_s=SILENCE_S / 2)
        self.provider = await stack.enter_async_context(
            await Simulator.start(self.world, dialect=self._dialect, rules=rules)
        )
        self.redis: Redis = RedisAddress(self.server.url).client(timeout_s=PATIENCE_S)
        stack.push_async_callback(self.redis.aclose)
        await self.redis.xgroup_create(KEYS.events, GROUP, id="0", mkstream=True)
        self.ways = {
            "workers": await stack.enter_async_context(redis_proxy(self.server.url)),
            "edges": await stack.enter_async_context(redis_proxy(self.server.url)),
        }
        worker = worker_environ(
            self.ways["workers"].url,
            self.provider,
            BRIDGE_WORKER_LEASE=str(LEASE_S),
            BRIDGE_PROVIDER_LISTEN_SILENCE=str(SILENCE_S),
            BRIDGE_PROVIDER_CONFLICT_PAUSE="1",
        )
        for name in WORKERS:
            whole = worker | self._environs.get(name, {})
            self._start[name] = lambda whole=whole: stack.enter_async_context(  # type: ignore[misc]
                program("worker", environ=whole)
            )
        self.ports = [free_port(), free_port()]
        self.staff = Staff(self.world, self.ports, self.seed)
        if self.people:
            self.staff.settle_in()
        for name, port in zip(EDGES, self.ports, strict=True):
            edge = edge_environ(self.ways["edges"].url, port, **self._environs.get(name, {}))
            self._start[name] = lambda edge=edge: stack.enter_async_context(  # type: ignore[misc]
                program("edge", environ=edge)
            )
        await asyncio.gather(*(self.begin(name) for name in self._start))
        await self.provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        self._follow()
        if self.people:
            self.staff.open_browsers()
        stack.push_async_callback(self.staff.close_browsers)
        # What rose before a count was known nobody can tell.
        await until(lambda: all(follower.unread is not None for follower in self.followers))

    async def begin(self, name: str) -> None:
        """Start a program, and return when it is ready."""
        self.programs[name] = await self._start[name]()
        self.lives.append((name, self.programs[name]))
        await self.programs[name].ready()

    def _follow(self) -> None:
        for number, mailbox in enumerate(self.boxes):
            for transport in ("websocket", "sse"):
                port = self.ports[(number + (transport == "sse")) % 2]
                self.followers.append(Follower(f"http://127.0.0.1:{port}", transport, mailbox))
        watching = [follower.run() for follower in self.followers]
        tasks = [asyncio.create_task(each, name="user") for each in (*watching, self._look(), self._read())]

        async def leave() -> None:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()

        self._stack.push_async_callback(leave)

    async def _look(self) -> None:
        """See again and again whether the cursor and the mirror fit together."""
        while True:
            with suppress(Exception):  # Redis is away, as it is meant to be
                pipeline: Any = self.redis.pipeline(transaction=True)
                pipeline.get(KEYS.ver)
                pipeline.hgetall(KEYS.directory)
                pipeline.hgetall(KEYS.slaves)
                pipeline.hkeys(KEYS.owed)
                ver, mirror, slaves, owed = await pipeline.execute()
                names = {alias.decode(): number_in(orjson.loads(profile)["name"]) for alias, profile in mirror.items()}
                aliases = {slave.decode(): alias.decode() for slave, alias in slaves.items()}
                out = {alias.decode() for alias in owed}
                self.sights.append(Sight(int(ver or 0), names, aliases, out, time.monotonic()))
            await asyncio.sleep(0.05)

    async def _read(self) -> None:
        """A service with a consumer group: what it was given it acknowledges, and it begins again where it broke."""
        at = "0"
        while True:
            redis: Any = self.redis
            try:
                for _, entries in await redis.xreadgroup(GROUP, "reader", {KEYS.events: at}, count=500):
                    ids = [entry_id.decode() for entry_id, _ in entries]
                    self.read_ids += ids
                    if ids:
                        await redis.xack(KEYS.events, GROUP, *ids)
                    elif at == "0":
                        at = ">"
            except Exception:  # Redis is away: what was given and not acknowledged is given again
                at = "0"
            await asyncio.sleep(0.05)

    # -- what happens

    async def traffic(self) -> None:
        """Deliver, read, rename until cancelled."""
        boxes = self.boxes
        while True:
            for _ in range(self._dice.randrange(1, 6)):
                hostile = self._dice.choice(HOSTILE) if self._dice.random() < 0.05 else None
                self.world.deliver_mail(self._dice.choice(boxes), subject=hostile)
            if self._dice.random() < 0.1:
                self.world.read(self._dice.choice(boxes[:2]), self._dice.randrange(1, 5))
            if self._dice.random() < 0.03:
                self._rename(self._dice.choice(boxes))
            await asyncio.sleep(self._dice.uniform(0.005, 0.04))

    async def calm(self) -> None:
        """Nothing is broken any more; return when everybody has seen a last mail and the counts are right.

        Raises:
            AssertionError, TimeoutError: that does not come about.
        """
        self.provider.faults.clear()
        self.staff.finish()
        await until(self._connected)
        await self.provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        for _ in range(10):
            # A worker that has not learnt yet that it was deposed may take these; they are announced like others.
            last = {mailbox: self.world.deliver_mail(mailbox).mail_id for mailbox in self.boxes}
            with suppress(TimeoutError):
                await until(
                    lambda last=last: all(f.mail_ids[-1:] == [last[f.mailbox]] for f in self.followers),  # type: ignore[misc]
                    within_s=10,
                )
                break
        else:
            raise AssertionError("nothing arrives any more")
        await self._settled("a count is wrong", self._counts_wrong)
        # A suspicion waits for a sign of life, and a stream without traffic has none.
        async with self._signs_of_life():
            await self._settled("a count stays in doubt", self._counts_in_doubt)
        if self.people:
            self.staff.succeed()
            # A Ver that the provider made up is found out by the next change.
            self._rename(self.boxes[0])
        await self._settled("the cursor stays behind", self._directory_behind)
        if self.people:
            await self._settled(
                "people are not what the provider says",
                lambda: persons.settled(self),
                in_full=lambda: persons.settled(self, in_full=True),
            )
        # What was owed was answered by then, and moves no cursor.
        await self._settled("the reader of the stream stays behind", self._reader_behind)

    @asynccontextmanager
    async def _signs_of_life(self) -> AsyncIterator[None]:
        """Now and then something is pushed that is about no mailbox."""

        async def renaming() -> None:
            while True:
                await asyncio.sleep(0.4)
                self._rename(self._dice.choice(self.boxes))

        task = asyncio.create_task(renaming(), name="signs of life")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def _rename(self, alias: str) -> None:
        number = len(self.renamed) + 1
        self.world.modify_user(alias, name=f"name {number}")
        self.renamed.append((self.world.ver, alias, number))

    async def _settled(
        self,
        otherwise: str,
        lacking: Callable[[], Awaitable[str]],
        *,
        in_full: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """Wait until nothing is lacking any more; ``lacking`` says what is, for whoever reads of it, and ``in_full``
        with everything that may be of use."""
        lacks = ""

        async def whole() -> bool:
            nonlocal lacks
            lacks = await lacking()
            return not lacks

        try:
            await until(whole)
        except TimeoutError:
            upstream = await self.redis.hgetall(KEYS.upstream)
            lacks = (in_full and await in_full()) or lacks
            raise AssertionError(f"{otherwise}: {lacks}; upstream: {upstream}") from None

    async def _connected(self) -> bool:
        try:
            return await self.redis.hget(KEYS.upstream, "state") == b"connected" and bool(
                await self.redis.exists(KEYS.lease)
            )
        except Exception:  # the connection that the last fault cut
            return False

    async def _counts_wrong(self) -> str:
        for mailbox in self.boxes:
            state = await self.redis.hgetall(KEYS.state(mailbox))
            if state.get(b"unread") != b"%d" % self.world.unread[mailbox]:
                return f"{mailbox} has {self.world.unread[mailbox]} unread, stored is {state}"
        for each in self.followers:
            if each.unread != self.world.unread[each.mailbox]:
                return f"{each.transport} of {each.mailbox} shows {each.unread}, not {self.world.unread[each.mailbox]}"
        return ""

    async def _counts_in_doubt(self) -> str:
        """Each was asked for since the last gap, and asked again where mails seemed missing."""
        gap = await self.redis.hget(KEYS.upstream, "gap") or b"0"
        for mailbox in self.boxes:
            state = await self.redis.hgetall(KEYS.state(mailbox))
            if b"base" in state or state.get(b"gap") != gap:
                return f"{mailbox}: {state}"
        return ""

    async def _directory_behind(self) -> str:
        stored = await self.redis.get(KEYS.ver)
        return "" if int(stored or 0) == self.world.ver else f"stored is {stored!r}, the provider's {self.world.ver}"

    async def _reader_behind(self) -> str:
        newest: Any = await self.redis.xrevrange(KEYS.events, count=1)
        last = newest[0][0].decode()
        return "" if last in self.read_ids[-1:] else f"given last was {self.read_ids[-1:]}, the newest is {last}"


def number_in(name: str) -> int:
    """The number in a name that the traffic gave; 0 for the one from the beginning."""
    return int(name.removeprefix("name ")) if name.startswith("name ") else 0
