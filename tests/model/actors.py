"""Workers whose every question to Redis waits until somebody answers it.

An :class:`Actor` is one life of a worker: the real :class:`Writer` under the part of ``Worker`` that decides when to
claim, to keep, to commit and to stand down. It takes nothing from outside but answers, so what it does next follows
from what it was told: :class:`WorkerStates` plays each pair of state and news once and remembers what came of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis.asyncio import Redis

from bridge.events import DIRECTORY, MAIL_NEW, MAIL_UNREAD, USER_ADDED, Event, build_event
from bridge.journal.calls import Advance, RecordMail, Retention
from bridge.journal.errors import JournalAway, JournalUnreached, LeaseLost
from bridge.journal.inquiry import Memory
from bridge.journal.writer import Writer
from tests.model.datasets import CLOCK_STEP_S, KEYS, MAILBOX, RECOLLECT, Asked

Item = Literal["mails", "mail", "directory", "rest"]
Session = tuple[str, int]
"""Which leadership of which life of a worker."""

_session: ContextVar[int] = ContextVar("session")
LEASE_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Request:
    """Calls that went out in one batch, by which leadership."""

    session: Session
    calls: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a caller was told to be committed, and in which generation."""

    name: str
    generation: int


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen of a worker that has come to rest."""

    waiting: tuple[Request, ...]
    reports: tuple[Report, ...]
    leads: bool
    rests: bool
    done: bool
    watches: bool


class _Gate:
    """In the place of :class:`Script`: keeps what is asked, in order, as one connection does."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self.waiting: list[tuple[Request, asyncio.Future[Any]]] = []

    async def run(self, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        asked = tuple((tuple(keys), tuple(arguments)) for keys, arguments in calls)
        self.waiting.append((Request((self._actor, _session.get()), asked), future))
        return await future

    def answer(self, answers: list[Any]) -> None:
        _, future = self.waiting.pop(0)
        # Whoever asked may have been cancelled; the answer comes all the same.
        if not future.done():
            future.set_result(answers)

    def fail(self, error: JournalAway) -> None:
        waiting, self.waiting = self.waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)


class Actor:
    """One life of a worker, called ``name``, that has ``items`` to commit. ``asks``: others remember, ask them.

    ``at_s`` and ``ahead_s`` together are its clock: the time where it is, and how much it differs from the server's.
    """

    def __init__(
        self,
        name: str,
        items: Sequence[Item],
        undialled: Redis,
        *,
        asks: bool = False,
        one_server: bool = False,
        together: int = 1,
    ) -> None:
        self.name = name
        self.gate = _Gate(name)
        self.reports: list[Report] = []
        self.leads = False
        self._named = asks
        self._items = list(items)
        self._mails = 0
        self._ver: int | None = None
        self._read = False
        self._tick = asyncio.Event()
        self._wake = asyncio.Event()
        self.rests = False
        self.at_s = CLOCK_STEP_S
        self.ahead_s = 0
        recollect = {"recollect": self._recollect} if asks else {}
        self.writer = Writer(
            undialled,
            KEYS,
            lease_s=LEASE_S,
            retention=Retention(),
            pause=self._pause,
            name=name,
            script=self.gate,
            one_server=one_server,
            clock=lambda: self.at_s + self.ahead_s,
            together=together,
            **recollect,
        )
        self.tasks: list[asyncio.Task[Any]] = []
        self.main = self._task(self._run())

    def _task(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.append(task)
        return task

    def tick(self) -> None:
        """It is time to renew the lease."""
        self._tick.set()

    def refused(self, at_s: int) -> None:
        """Nobody listens where the server was, at ``at_s``."""
        self.at_s = at_s
        error = JournalUnreached("nobody listens")
        error.vacant = True
        self.gate.fail(error)

    def wake(self) -> None:
        """There is something to commit again, or a pause is over."""
        self._wake.set()

    @property
    def keeps(self) -> bool:
        """Whether a tick is under way."""
        return self._tick.is_set()

    async def _run(self) -> None:
        session = 0
        while self._items:
            _session.set(session + 1)
            try:
                claimed = await self.writer.claim()
            except JournalAway:
                # Perhaps it was given: then it is another leadership, which never knows of itself.
                session += 1
                continue
            if claimed is None:
                continue
            session += 1
            try:
                await self._lead()
            except* LeaseLost:
                pass
            self.leads = False
        with suppress(JournalAway):
            await self.writer.release()

    async def _lead(self) -> None:
        self.leads, self._read = True, False
        self._tick.clear()
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self._keep())
            working = tasks.create_task(self._work())
            self.tasks += (keeping, working)
            working.add_done_callback(lambda _: keeping.cancel())

    async def _keep(self) -> None:
        while True:
            await self._tick.wait()
            with suppress(JournalAway):
                await self.writer.keep()
            self._tick.clear()

    async def _work(self) -> None:
        while self._items:
            # What is not committed when another leads is dropped, not kept for later.
            item = self._items.pop(0)
            if item == "rest":
                await self._rest()
                continue
            if item == "directory":
                await self._advance()
                continue
            names = [self._next_mail() for _ in range(2 if item == "mails" else 1)]
            await self.writer.commit([_mail(name, named=self._named) for name in names])
            self._report(names)

    async def _rest(self) -> None:
        self.rests = True
        try:
            await self._wake.wait()
        finally:
            self._wake.clear()
            self.rests = False

    async def _pause(self, _seconds: float) -> None:
        await self._rest()

    async def _recollect(self) -> Memory:
        [(generation, positions)] = await self.gate.run([((), (RECOLLECT,))])
        return Memory(generation, positions=dict(positions))

    def _next_mail(self) -> str:
        self._mails += 1
        return f"{self.name}.{self._mails}"

    async def _advance(self) -> None:
        """One more Ver, as ``Members`` does it: in two pieces, from the Ver that was read when the lead began."""
        while True:
            while not self._read:
                with suppress(JournalAway):
                    [value] = await self.gate.run([((), (KEYS.ver,))])
                    self._ver, self._read = (None if value is None else int(value)), True
            ver = (self._ver or 0) + 1
            name = f"{self.name}.u{ver}"
            told = build_event(
                namespace="model", stream=DIRECTORY, type=USER_ADDED, time_s=0, data={"name": name, "ver": ver}
            )
            outcomes = await self.writer.commit(
                [
                    Advance(self._ver, None, profiles={f"u{ver}a": b"{}"}),
                    Advance(self._ver, ver, profiles={f"u{ver}b": b"{}"}, events=[told]),
                ]
            )
            if outcomes[-1].result == "cursor":
                self._read = False
                continue
            self._ver = ver
            self._report([name])
            return

    def _report(self, names: Sequence[str]) -> None:
        self.reports += [Report(name, self.writer.generation) for name in names]


def _mail(name: str, *, named: bool) -> RecordMail:
    """Without a MailId nothing but the call number keeps it from being published twice.

    Where servers are used again by hand, another may have led after a call was applied: then the number says nothing.
    """
    return RecordMail(_event(MAIL_NEW, name), name if named else "", None, _event(MAIL_UNREAD, name))


def _event(type: str, name: str) -> Event:
    return build_event(namespace="model", stream=MAILBOX, type=type, time_s=0, data={"name": name}, stamped=True)
