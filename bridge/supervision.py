"""Keep the process's work running: retry expected faults, end on any other, stop when asked to.

Expected faults, such as a provider or a Redis that is away, are declared as data and retried. Anything else is a
defect: it leaves the task group and ends the process, and the service manager starts a new one. The back-off is reset
only after progress, not after a connection that achieved nothing.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_never, wait_random_exponential

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StartRefused(Exception):
    """The process cannot start or continue; the message is one line for people, shown without a traceback."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait between attempts: a random time that begins near ``first_s`` and doubles up to ``limit_s``.

    It is at least half of ``first_s``, so that a repeated fault cannot become a busy loop.
    """

    first_s: float = 0.5
    limit_s: float = 30.0


async def apart(work: Coroutine[Any, Any, None], *, name: str) -> None:
    """Await ``work`` in a task of its own, so that its failure cannot hide our cancellation.

    A task group may swallow the cancellation of its own task if one of its children fails at the same moment. A loop
    that continues after such errors would then never end.
    """
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("ended by an error while it was told to end", extra={"task": name, "error": str(error)})
        raise
    task.result()


async def supervise(
    run: Callable[[Callable[[], None]], Awaitable[None]],
    *,
    expected: tuple[type[Exception], ...],
    retry: Retry,
    on_fault: Callable[[Exception, float], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Await ``run(progress)`` until it returns; if it raises an ``expected`` exception, wait and call it again.

    ``run`` calls ``progress()`` when it has achieved something, so that the next wait is short again. ``on_fault`` gets
    each expected fault and the seconds until the next attempt. An exception group whose members are all expected (from
    a TaskGroup inside ``run``) counts as expected, and ``on_fault`` gets its first member.

    Raises:
        Any other exception of ``run``, at once.
    """
    progressed = False
    exponential = wait_random_exponential(multiplier=retry.first_s, min=retry.first_s / 2, max=retry.limit_s)

    def progress() -> None:
        nonlocal progressed
        progressed = True

    def wait(state: RetryCallState) -> float:
        nonlocal progressed
        if progressed:
            state.attempt_number = 1
            progressed = False
        return exponential(state)

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, Exception) and state.next_action is not None:
            on_fault(_first(error), state.next_action.sleep)

    attempts = AsyncRetrying(
        sleep=sleep,
        stop=stop_never,
        wait=wait,
        retry=retry_if_exception(lambda error: _is_expected(error, expected)),
        before_sleep=tell,
        reraise=True,
    )
    await attempts(run, progress)


def has_terminal() -> bool:
    """Whether somebody started this process at a terminal, which may be closed."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        # It is closed.
        return False


class Shutdown:
    """Turns SIGTERM, SIGINT and SIGHUP into an event, from ``with`` to its end.

    Closing the terminal (SIGHUP) ends a program as orderly as the other signals; with ``nohup`` it goes on. A service
    has no terminal: where ``reload`` is given, SIGHUP calls that and ends nothing.

    A second Ctrl-C ends the process at once, for somebody who does not want to wait for the drain. A second SIGTERM
    does not, because a parent may forward a signal that the terminal has sent already.
    """

    def __init__(self, *, reload: Callable[[], None] | None = None) -> None:
        self.event = asyncio.Event()
        self._reload = reload

    def ask(self) -> None:
        """Ask for the shutdown from inside the program; may be called again."""
        self.event.set()

    async def wait(self) -> None:
        """Return when the shutdown has been asked for."""
        await self.event.wait()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._taken = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        for number in self._taken:
            loop.add_signal_handler(number, self._take, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self._taken:
            loop.remove_signal_handler(number)

    def _take(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP and self._reload is not None:
            if not self.event.is_set():
                self._reload()
            return
        log.info("shutdown asked for", extra={"signal": number.name})
        if number is signal.SIGINT:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        self.event.set()


def _is_expected(error: BaseException, expected: tuple[type[Exception], ...]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(expected)[1] is None
    return isinstance(error, expected)


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
