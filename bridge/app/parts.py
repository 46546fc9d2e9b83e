"""What worker, edge and dev build alike from the settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, JournalError, JournalRefused, NotAdmitted
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader
from bridge.journal.standing import Standings
from bridge.settings import Secret, Settings
from bridge.supervision import StartRefused

log = logging.getLogger(__name__)


def redis_address(settings: Settings) -> RedisAddress:
    """Where the journal is. All clients of a process come from one address, so that they move together."""

    def known(secret: Secret[str]) -> Callable[[], str | None]:
        return secret if secret else lambda: None

    return RedisAddress(
        settings.redis.url,
        settings.redis.username or None,
        known(settings.redis.password),
        namespace=settings.namespace,
        sentinel_password=known(settings.redis.sentinel_password),
    )


def build_reader(settings: Settings, redis: Redis) -> Reader:
    return Reader(
        redis,
        Keys(settings.namespace),
        history_events=settings.history.events,
        history_s=settings.history.seconds,
    )


def retention(settings: Settings) -> Retention:
    return Retention(
        settings.history.events,
        settings.history.seconds,
        settings.events.max,
        settings.dead.max,
        settings.dead.seconds,
    )


class RedisHealth:
    """Whether Redis answers, looked at every two seconds; a standby is ready when it does."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._why: str | None = "Redis has not answered yet"

    def verdict(self) -> str | None:
        """``None`` when it answered the last time, else why it did not."""
        return self._why

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(2.0):
                    await self._reader.commits()
                self._why = None
            except (JournalError, TimeoutError) as error:
                self._why = f"Redis: {error}"
            await asyncio.sleep(2.0)


async def redis_accepted(
    reader: Reader,
    stop: asyncio.Event,
    *,
    standings: Standings | None = None,
    mirror: Mirror | None = None,
    pause_s: float = 1.0,
) -> bool:
    """Wait until Redis answers and find out whether it will do; ``False`` if the process is told to stop meanwhile.

    ``standings``: of a process that lets people in, ``mirror``: of one that leads; each needs rights of its own.

    Raises:
        StartRefused: it answers, and waiting does not mend what it says.
    """
    told = ""
    while not stop.is_set():
        try:
            warning = await reader.check()
            if standings is not None:
                await standings.check()
            if mirror is not None:
                await mirror.check()
        except (JournalRefused, NotAdmitted) as error:
            # A password that was never right may be anybody's mistake; once it was, it is waited for.
            raise StartRefused(f"Redis will not do: {error}") from error
        except JournalAway as error:
            if str(error) != told:
                told = str(error)
                log.warning("waiting for Redis", extra={"error": told})
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
    """Run until ``stop``; return the task, which still runs unless it ended by itself.

    Raises:
        Whatever ended ``run`` before that.
    """
    task: asyncio.Task[None] = asyncio.create_task(_as_coroutine(run), name=name)
    stopping = asyncio.create_task(stop.wait(), name=f"{name} stop")
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        # Whoever cancelled us closes next what the task works with.
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
