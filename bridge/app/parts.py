"""Parts that several programs build in the same way from the settings."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, get_args

from redis.asyncio import Redis

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, JournalError, JournalRefused, JournalSpoilt, NotAdmitted
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader, ServerMemory
from bridge.journal.standing import Standings
from bridge.obs.labels import Eviction, eviction_of
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.settings import Secret, Settings
from bridge.supervision import StartRefused

log = logging.getLogger(__name__)


def process_name() -> str:
    """A name of this process for people: its host, and its process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def redis_address(settings: Settings) -> RedisAddress:
    """Where Redis is. All clients of a process come from one address, so that they move together."""

    def known(secret: Secret[str]) -> Callable[[], str | None]:
        return secret if secret else lambda: None

    return RedisAddress(
        settings.redis.url,
        settings.redis.username or None,
        known(settings.redis.password),
        namespace=settings.namespace,
        sentinel_password=known(settings.redis.sentinel_password),
    )


def build_reader(settings: Settings, redis: Redis, *, wall: Callable[[], float] = time.time) -> Reader:
    return Reader(
        redis,
        Keys(settings.namespace),
        history_events=settings.history.events,
        history_s=settings.history.seconds,
        wall=wall,
    )


def retention(settings: Settings) -> Retention:
    return Retention(
        settings.history.events,
        settings.history.seconds,
        settings.events.max,
        settings.dead.max,
        settings.dead.seconds,
    )


_MEMORY_EACH: Final = 4
"""Looks at whether Redis answers, for one at its memory."""
_READ_ONLY: Final = ("READONLY", "MISCONF", "NOREPLICAS")


class RedisHealth:
    """Whether Redis answers and accepts a write, tested every ``look_s`` seconds; ``beat`` is called after each try.

    A full or read-only server is found by trying. Each program decides what such a server is still good for.
    """

    def __init__(
        self, reader: Reader, metrics: Metrics, *, look_s: float = 2.0, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._beat = beat
        self._reader = reader
        self._look_s = look_s
        self._metrics = metrics
        self._why: Unready | None = Unready("starting", "Redis has not answered yet")
        self._answers = False

    def writable(self) -> Unready | None:
        """``None`` if it accepted the last write, otherwise why it did not."""
        return self._why

    def reachable(self) -> Unready | None:
        """``None`` if it answered the last time, even if it accepts no writes."""
        return None if self._answers else self._why

    async def watch(self) -> None:
        """Test until cancelled."""
        for looks in itertools.count():
            try:
                async with asyncio.timeout(2.0):
                    await self._reader.try_write()
                self._noted(None)
            except (JournalError, TimeoutError) as error:
                self._noted(_unready(error))
            if looks % _MEMORY_EACH == 0 and self._answers:
                # One that is full answers, too; a fault of this question is reported by the next write.
                with suppress(JournalError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        self._tell_memory(await self._reader.memory())
            self._beat()
            await asyncio.sleep(self._look_s)

    def _tell_memory(self, memory: ServerMemory) -> None:
        self._metrics.redis_memory.set(memory.used)
        self._metrics.redis_memory_limit.set(memory.limit)
        told = eviction_of(memory.policy)
        for policy in get_args(Eviction):
            self._metrics.redis_policy[policy].set(policy == told)

    def _noted(self, why: Unready | None) -> None:
        self._why = why
        self._answers = why is None or why.reason in ("redis-full", "redis-readonly")
        self._metrics.redis_reachable.set(self._answers)
        self._metrics.redis_writable.set(why is None)


def _unready(error: JournalError | TimeoutError) -> Unready:
    """What an error of Redis means for a process that needs it."""
    word = error.word if isinstance(error, JournalAway) else ""
    if word == "OOM":
        return Unready("redis-full", f"Redis is full: {error}")
    if word in _READ_ONLY:
        return Unready("redis-readonly", f"Redis takes no writes: {error}")
    if isinstance(error, JournalRefused | NotAdmitted):
        return Unready("redis-refuses", f"Redis: {error}")
    return Unready("redis", f"Redis: {str(error) or 'no answer in time'}")


async def redis_accepted(
    reader: Reader,
    stop: asyncio.Event,
    *,
    standings: Standings | None = None,
    mirror: Mirror | None = None,
    pause_s: float = 1.0,
    beat: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until Redis answers, and find out whether it can be used; ``False`` if the process must stop meanwhile.

    ``beat`` is called before each try. ``standings``: for a process that admits people; ``mirror``: for one that may
    lead. Each needs its own rights.

    Raises:
        StartRefused: it answers, and waiting will not help.
    """
    reported = ""
    while not stop.is_set():
        beat()
        try:
            warning = await reader.check()
            if standings is not None:
                await standings.check()
            if mirror is not None:
                await mirror.check()
        except (JournalRefused, JournalSpoilt, NotAdmitted) as error:
            # A password that never worked is a mistake; one that has worked before is waited for.
            raise StartRefused(f"Redis will not do: {error}") from error
        except JournalAway as error:
            if str(error) != reported:
                reported = str(error)
                log.warning("waiting for Redis", extra={"error": reported})
            try:
                async with asyncio.timeout(pause_s):
                    await stop.wait()
            except TimeoutError:
                continue
        else:
            if warning:
                log.warning("Redis is set up for losing data", extra={"why": warning})
            return True
    return False


async def until_stopped(run: Callable[[], Awaitable[None]], stop: asyncio.Event, *, name: str) -> asyncio.Task[None]:
    """Run until ``stop``; return the task, which is still running unless it ended by itself.

    Raises:
        The exception that ended ``run`` before that.
    """
    task: asyncio.Task[None] = asyncio.create_task(_as_coroutine(run), name=name)
    stopping = asyncio.create_task(stop.wait(), name=f"{name} stop")
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        # The caller, who cancelled us, is about to close what the task uses.
        task.cancel()
        await asyncio.wait([task])
        raise
    finally:
        stopping.cancel()
    if task.done():
        task.result()
    return task


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def _as_coroutine(run: Callable[[], Awaitable[None]]) -> None:
    await run()
