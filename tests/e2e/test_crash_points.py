"""SIGKILL, SIGSTOP past the lease and SIGTERM of worker and edge between every two effects.

A first program names the points that it passes; so a new effect joins by itself. Then one program after the other
ends itself at the next point, while mails come, counts change and accounts are renamed, and another takes its place.
Afterwards the promises of the history checker hold. The suite takes every third point with one action,
``BRIDGE_TEST_CRASH=all`` (``make crash``) all of them with every one.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from itertools import product
from pathlib import Path

from bridge.journal.embedded import EmbeddedServer
from tests.support.crashing import ACTING, ACTIONS, PASSED, RECORD
from tests.support.history.checker import check
from tests.support.history.harness import EDGES, WORKERS, Harness
from tests.support.processes import Program, edge_environ, program, worker_environ
from tests.support.stage import KEYS
from tests.support.waiting import until

Start = Callable[[str, str], AbstractAsyncContextManager[Program]]
_LEAD_S = 60.0
"""Until a leader listens: the lock of the provider's token blocks for 3 s where its holder was killed."""
_PASS_S = 5.0
"""Then, until it passes its point: some are passed only where something goes another way than the first time."""
_AT_ONCE = 3
"""Bridges that run at the same time; each of them mostly waits."""
_NEVER = "no such point"


def acted(program: Program) -> bool:
    """Whether it has passed its point."""
    return any(line["message"].startswith(ACTING) for line in program.lines)


async def until_ready_or_acted(program: Program) -> None:
    ready = asyncio.create_task(program.ready())
    try:
        await until(lambda: ready.done() or acted(program))
    finally:
        ready.cancel()
        await asyncio.wait([ready])


async def end(harness: Harness, program: Program, action: str) -> bool:
    """See an action through, and the program off. Returns whether the point was passed, perhaps while it stopped."""

    def over() -> bool:
        return program.process.returncode is not None or acted(program)

    told = acted(program) and action == "TERM"
    if not over():
        # A second signal would end it at once.
        program.signal(signal.SIGTERM)
        told = True
        await until(over)
    if acted(program) and action == "STOP":
        # It says so just before it does it; what wakes it must not come sooner.
        await until(lambda: stopped(program.pid))
        # A sleeper wakes when its lease has run out; it stands by then, and ends in order like any other.
        lease = await harness.redis.get(KEYS.lease)
        with suppress(TimeoutError):
            await until(lambda: _other_lease(harness, lease), within_s=2)
        program.signal(signal.SIGCONT)
    if not told and action != "KILL":
        program.signal(signal.SIGTERM)
    try:
        code = await program.ended()
    except TimeoutError:
        raise AssertionError(f"it does not end after {action}: {program.lines[-8:]}") from None
    assert code == (-signal.SIGKILL if acted(program) and action == "KILL" else 0), program.lines[-5:]
    return acted(program)


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


async def _other_lease(harness: Harness, lease: bytes | None) -> bool:
    return await harness.redis.get(KEYS.lease) not in (lease, None)


async def work(harness: Harness) -> None:
    """Everything a bridge does, once: mails, a count, a renamed account."""
    boxes = list(harness.world.accounts)
    for mailbox in boxes:
        harness.world.deliver_mail(mailbox)
    harness.world.read(boxes[0])
    number = len(harness.renamed) + 1
    harness.world.modify_user(boxes[1], name=f"name {number}")
    harness.renamed.append((harness.world.ver, boxes[1], number))
    await asyncio.sleep(0.1)


async def work_until(harness: Harness, condition: Callable[[], bool], within_s: float = _PASS_S) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not condition():
                await work(harness)


# -- workers


def worker_start(harness: Harness) -> Start:
    environ = worker_environ(
        harness.ways["workers"].url, harness.provider, BRIDGE_WORKER_LEASE="1", BRIDGE_PROVIDER_CONFLICT_PAUSE="1"
    )
    return lambda point, action: program(point, action, "worker", environ=environ, module="tests.support.crashing")


async def recorded_worker(harness: Harness) -> list[str]:
    """The points that a worker passes that stands by, leads, works and stops."""
    async with worker_start(harness)(_NEVER, RECORD) as recording:
        await recording.ready()
        for name in WORKERS:
            await harness.programs[name].stop()
        await until(lambda: bool(recording.said("listen session online")))
        await work_until(harness, lambda: _passed(recording, "after provider newcount"))
        await harness.begin(WORKERS[0])
        await recording.stop()
        return points_of(recording)


async def crash_workers(harness: Harness, plays: Sequence[tuple[str, str]]) -> list[str]:
    """One leader after the other; who stands by is the next to end itself. Returns what was never passed."""
    start, missed = worker_start(harness), list[str]()
    for name in WORKERS:
        if harness.programs[name].process.returncode is None:
            await harness.programs[name].stop()
    leads: tuple[Program, str, str] | None = None
    async with AsyncExitStack() as stack:
        for point, action in [*plays, (_NEVER, "TERM")]:
            stands_by = await stack.enter_async_context(start(point, action))
            await until_ready_or_acted(stands_by)
            if leads is not None:
                leader, its_point, its_action = leads
                await _work_under(harness, leader)
                if not await end(harness, leader, its_action):
                    missed.append(its_point)
            leads = stands_by, point, action
        assert leads is not None
        await harness.begin(WORKERS[0])
        await leads[0].stop()
    return missed


async def _work_under(harness: Harness, leader: Program) -> None:
    """Until it acts, or has listened for a while."""
    await work_until(harness, lambda: acted(leader) or bool(leader.said("listen session online")), _LEAD_S)
    await work_until(harness, lambda: acted(leader))


# -- edges


async def recorded_edge(harness: Harness) -> list[str]:
    """The points that an edge passes which serves two browsers and stops."""
    async with _in_place_of_an_edge(harness, _NEVER, RECORD) as recording:
        await recording.ready()
        await work_until(harness, lambda: _passed(recording, "after browser event"))
        await recording.stop()
        return points_of(recording)


async def crash_edges(harness: Harness, plays: Sequence[tuple[str, str]]) -> list[str]:
    """One edge after the other on the same port, as a service manager starts them. Returns what was never passed."""
    missed = []
    for point, action in plays:
        async with _in_place_of_an_edge(harness, point, action) as edge:
            await until_ready_or_acted(edge)
            await work_until(harness, lambda edge=edge: acted(edge))  # type: ignore[misc]
            if not await end(harness, edge, action):
                missed.append(point)
    await harness.begin(EDGES[0])
    return missed


@asynccontextmanager
async def _in_place_of_an_edge(harness: Harness, point: str, action: str) -> AsyncIterator[Program]:
    if harness.programs[EDGES[0]].process.returncode is None:
        await harness.programs[EDGES[0]].stop()
    environ = edge_environ(harness.ways["edges"].url, harness.ports[0])
    async with program(point, action, "edge", environ=environ, module="tests.support.crashing") as edge:
        yield edge


# -- both


def points_of(recording: Program) -> list[str]:
    lines = [line["message"] for line in recording.lines]
    return [line.removeprefix(PASSED) for line in lines if line.startswith(PASSED)]


def _passed(recording: Program, point: str) -> bool:
    return point in points_of(recording)


def plays_of(points: Sequence[str]) -> list[tuple[str, str]]:
    """Every third point with one action, in turn; all of them with all actions where everything is asked for."""
    if os.environ.get("BRIDGE_TEST_CRASH") == "all":
        return list(product(points, ACTIONS))
    return [(point, ACTIONS[(n + n // _AT_ONCE) % len(ACTIONS)]) for n, point in enumerate(points[1::3])]


async def play(tmp_path: Path, record: Callable, crash: Callable) -> None:  # type: ignore[type-arg]
    with EmbeddedServer(tmp_path / "recording") as server:
        async with Harness(server, 1) as harness:
            points = await record(harness)
    plays = plays_of(points)
    print(len(points), "points:", ", ".join(points))
    missed: list[str] = []

    async def part(number: int) -> None:
        mine = plays[number::_AT_ONCE]
        with EmbeddedServer(tmp_path / str(number)) as server:
            async with Harness(server, number) as harness:
                try:
                    missed.extend(await crash(harness, mine))
                    await harness.calm()
                    await check(harness)
                except BaseException:
                    print("points of the harness that failed:", mine)
                    raise

    async with asyncio.TaskGroup() as tasks:
        for number in range(_AT_ONCE):
            tasks.create_task(part(number))
    print("never passed:", missed)
    assert len(missed) <= len(plays) / 4


async def test_a_worker_that_ends_at_any_point_costs_nothing_unsaid(tmp_path: Path) -> None:
    """Committed mails are there once and in order, the others are announced; the directory is the provider's."""
    await play(tmp_path, recorded_worker, crash_workers)


async def test_an_edge_that_ends_at_any_point_costs_no_browser_a_mail(tmp_path: Path) -> None:
    """Every browser comes back and is given what it missed, or is told."""
    await play(tmp_path, recorded_edge, crash_edges)
