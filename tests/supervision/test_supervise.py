"""Retry what is expected, propagate what is not, forget the back-off after progress."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from bridge.supervision import Retry, Shutdown, apart, supervise
from tests.support.waiting import PATIENCE_S


class Away(Exception):
    pass


class Supervised:
    """Runs a script of outcomes under ``supervise`` and keeps the waits that it asked for."""

    def __init__(self, *script):
        self.script = list(script)
        self.waits = []
        self.told = []

    async def run(self, progress):
        step = self.script.pop(0)
        if step == "progress, then away":
            progress()
            step = Away()
        if isinstance(step, BaseException):
            raise step

    async def sleep(self, seconds):
        self.waits.append(seconds)

    async def go(self, retry):
        await supervise(
            self.run,
            expected=(Away,),
            retry=retry,
            on_fault=lambda error, wait_s: self.told.append((type(error), wait_s)),
            sleep=self.sleep,
        )


async def test_expected_faults_are_waited_out():
    """Each expected fault is told with its wait and tried again; a return ends the supervision."""
    supervised = Supervised(Away(), Away(), "return")
    await supervised.go(Retry(first_s=1, limit_s=8))
    assert [kind for kind, _ in supervised.told] == [Away, Away]
    assert [wait for _, wait in supervised.told] == supervised.waits


async def test_waits_grow_within_their_bounds():
    """The n-th wait lies between half of ``first_s`` and ``first_s`` doubled n-1 times, never beyond the limit."""
    supervised = Supervised(*[Away()] * 200, "return")
    await supervised.go(Retry(first_s=1, limit_s=8))
    highest = [min(8, 2**n) for n in range(200)]
    assert all(0.5 <= wait <= high for wait, high in zip(supervised.waits, highest, strict=True))
    assert max(supervised.waits) > 4
    assert len(set(supervised.waits)) > 150


async def test_progress_makes_the_next_wait_short_again():
    """A run that got somewhere starts the back-off anew; a mere connect does not."""
    supervised = Supervised(*[Away()] * 100, "progress, then away", Away(), "return")
    await supervised.go(Retry(first_s=1, limit_s=1000))
    assert supervised.waits[100] <= 1
    assert supervised.waits[101] <= 2
    assert max(supervised.waits[:100]) > 2


async def test_a_defect_propagates_at_once():
    """What is not expected is no reason to wait."""
    supervised = Supervised(ValueError("defect"))
    with pytest.raises(ValueError, match="defect"):
        await supervised.go(Retry())
    assert supervised.waits == []


async def test_a_group_of_expected_faults_is_expected():
    """A TaskGroup inside the run wraps faults; all of them expected counts as expected, one other does not."""
    supervised = Supervised(ExceptionGroup("g", [Away(), ExceptionGroup("h", [Away()])]), "return")
    await supervised.go(Retry())
    assert supervised.told[0][0] is Away
    with pytest.raises(ExceptionGroup):
        await Supervised(ExceptionGroup("g", [Away(), ValueError()])).go(Retry())


async def test_cancellation_passes_through_the_wait():
    """A cancelled supervision ends while it waits."""
    waiting = asyncio.Event()

    async def fail(_progress):
        raise Away

    task = asyncio.create_task(
        supervise(fail, expected=(Away,), retry=Retry(60, 60), on_fault=lambda *_: waiting.set()), name="supervised"
    )
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_for_the_shutdown(number):
    """SIGTERM and SIGINT set the event; after ``with`` the process has its old handlers again."""
    before = signal.getsignal(signal.SIGTERM)
    with Shutdown() as shutdown:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE_S):
            await shutdown.wait()
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def test_a_repeated_sigterm_is_harmless():
    """A parent may pass on what the process group has already got."""
    with Shutdown() as shutdown:
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            await shutdown.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
    assert shutdown.event.is_set()


async def test_a_signal_that_is_ignored_stays_ignored():
    """``nohup`` has a program outlive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Shutdown() as shutdown:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(shutdown.wait(), PATIENCE_S)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_an_end_and_a_cancellation_in_one_moment_are_a_cancellation():
    """A task group swallows it before Python 3.13; whoever goes on after its errors would never end."""
    fails = asyncio.Event()
    went_on = []

    async def fail():
        await fails.wait()
        raise Away

    async def lead():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async def stand_by():
        with suppress(ExceptionGroup):
            await apart(lead(), name="leading")
        went_on.append(True)

    task = asyncio.create_task(stand_by())
    for _ in range(4):
        await asyncio.sleep(0)
    fails.set()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not went_on


async def test_what_runs_apart_tells_how_it_ended():
    """Its errors are its caller's; a cancelled caller waits for its end."""
    ended = []

    async def slow():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def fails():
        raise Away

    with pytest.raises(Away):
        await apart(fails(), name="fails")
    task = asyncio.create_task(apart(slow(), name="slow"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert ended == [True]
