"""How an edge stops: its balancer is told first, its browsers one after the other, and nobody gets an error."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bridge.edge.drain import drain, due_by
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.obs.readiness import Unready
from tests.support.bare_edge import bare_edge, heard
from tests.support.browser_side import HandshakeRefused, open_ws
from tests.support.processes import ROOT, edge_environ, free_port, program
from tests.support.stage import ANN, bearer, leading_writer, mail, running_edge
from tests.support.waiting import PATIENCE_S, until

from .conftest import ids


@pytest.mark.parametrize(("size", "over_s"), [(1, 10), (7, 10), (1000, 10), (3000, 0.5), (5, 0)])
def test_they_go_evenly(size: int, over_s: float) -> None:
    """The first at once, all by the end, and at no time more than their share and one."""
    steps = [due_by(step * over_s / 200, size, over_s=over_s) for step in range(201)]
    assert steps[0] == (1 if over_s else size)
    assert steps[-1] == size
    if over_s:
        assert all(due <= size * step / 200 + 1 for step, due in enumerate(steps))
        assert all(due >= size * step / 200 - 1 for step, due in enumerate(steps))


async def test_who_is_not_sent_away_yet_is_served(redis_url: str) -> None:
    """Mails go on to come until it is one's turn; then 3001, with a time to come back that is one's own."""
    now = [0.0]
    turn = asyncio.Semaphore(0)

    async def sleep(seconds: float) -> None:
        await turn.acquire()
        now[0] += 1

    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        opening = await edge.open()
        peers = []
        for _ in range(10):
            opening.tail.opening += 1
            peers.append((await edge.join(opening, SseConnection))[1])
        for peer in peers:
            await heard(peer, b"exmail.snapshot")
        draining = asyncio.create_task(drain(edge.hub, over_s=10, now=lambda: now[0], sleep=sleep))
        for number in range(1, 10):
            await until(lambda gone=number: edge.hub.count == 10 - gone)  # type: ignore[misc]
            await writer.commit([mail(f"Z{number}", number)])
            await until(lambda top=number: opening.tail.top == top)  # type: ignore[misc]
            turn.release()
        await asyncio.wait_for(draining, PATIENCE_S)
        told = [await heard(peer, b"exmail.closing") for peer in peers]
        assert sorted(piece.count(b"exmail.mail.new") for piece in told) == list(range(10))
        hints = {piece.partition(b'"retry_ms":')[2].partition(b"}")[0] for piece in told}
        assert len(hints) > 5
        assert all(2000 <= int(hint) <= 5000 for hint in hints)


async def test_who_does_not_answer_a_goodbye_is_not_waited_for(redis_url: str) -> None:
    """A drain ends a second after the last one was told."""
    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        cursor, peer = await edge.join(await edge.open(), WebSocketConnection)
        await heard(peer, b"exmail.snapshot")
        now = [0.0]

        async def sleep(seconds: float) -> None:
            now[0] += seconds
            await asyncio.sleep(0)

        await drain(edge.hub, over_s=0, now=lambda: now[0], sleep=sleep)
        assert cursor.connection.code == 3001
        assert 1.0 <= now[0] < 1.2


async def test_the_balancer_is_told_before_the_port_closes(redis_url: str) -> None:
    """``/readyz`` says 503 while new browsers are let in for the delay, and get their mails."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = edge_environ(redis_url, port, BRIDGE_EDGE_DRAIN_DELAY="60")
    async with leading_writer(redis_url) as (writer, _), program("edge", environ=environ) as edge:
        await edge.ready()
        edge.signal(signal.SIGTERM)
        await until(lambda: _unready(edge))
        async with await open_ws(url, **bearer()) as late:
            await late.frame()
            await writer.commit([mail("Z1")])
            assert ids(await late.events(1)) == ["Z1"]
        assert edge.process.returncode is None


async def _unready(edge: Any) -> bool:
    status, text = 0, ""
    with suppress(OSError):
        status, text = await edge.admin("/readyz")
    return status == 503 and "shutting down" in text


async def test_every_process_closes_the_port(redis_url: str) -> None:
    """With ``--workers`` the parent too: while browsers are sent away, a new one is refused, and never kept waiting."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = edge_environ(redis_url, port, BRIDGE_EDGE_DRAIN="60", BRIDGE_EDGE_DRAIN_DELAY="1")
    async with leading_writer(redis_url), program("edge", "--workers", "2", environ=environ) as parent:
        await parent.ready()
        clients = [await open_ws(url, **bearer()) for _ in range(12)]
        for client in clients:
            await client.frame()
        parent.signal(signal.SIGTERM)
        await until(lambda: _unready(parent))

        async def refused() -> bool:
            try:
                (await open_ws(url, **bearer(ANN))).drop()
            except (OSError, HandshakeRefused):
                # A process without browsers has nothing to drain, and ends while the other still accepts.
                return True
            return False

        await until(refused)
        # One of the processes may have none of them.
        assert parent.process.returncode is None
        for client in clients:
            client.drop()
        assert await parent.ended() == 0


async def test_the_wait_ends_with_the_last_browser(redis_url: str) -> None:
    """Where all leave by themselves an edge does not wait for nobody."""
    turn = asyncio.Semaphore(0)
    slept = 0

    async def sleep(_: float) -> None:
        nonlocal slept
        slept += 1
        await turn.acquire()

    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        opening = await edge.open()
        opening.tail.opening += 1
        peers = [(await edge.join(opening, SseConnection))[1] for _ in range(2)]
        draining = asyncio.create_task(drain(edge.hub, over_s=3600, now=lambda: 0.0, sleep=sleep))
        await until(lambda: slept == 1)
        for peer in peers:
            peer.close()
        await until(lambda: edge.hub.count == 0)
        turn.release()
        await asyncio.wait_for(draining, PATIENCE_S)


async def test_readiness_falls_with_the_first_word(redis_url: str) -> None:
    """The word is ``closing``, from the moment that the process is told to stop."""
    asked: list[Callable[[], Unready | None]] = []
    async with leading_writer(redis_url):
        async with running_edge(redis_url, tell_health=asked.append):
            assert asked[0]() is None
        why = asked[0]()
        assert why is not None
        assert why.reason == "closing"


HANGS = """
import asyncio, time
from bridge.app.patience import ending_within

async def main():
    stop = asyncio.Event()
    async with ending_within(lambda: 0.1, stop):
        stop.set()
        await asyncio.sleep(0.05)
        time.sleep(600)

asyncio.run(main())
"""
ENDS = HANGS.replace("time.sleep(600)", "pass").replace("0.1", "600")


@pytest.mark.parametrize(("source", "code"), [(HANGS, 1), (ENDS, 0)])
async def test_a_process_ends_whatever_hangs(source: str, code: int) -> None:
    """Its own time is kept by a thread, for it may be the loop that hangs; who ends in time is not ended."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, cwd=ROOT)
    try:
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == code
    finally:
        if process.returncode is None:
            process.kill()


async def test_who_is_in_the_kernels_queue_is_answered(redis_url: str) -> None:
    """Whoever connected before the port closed gets an answer, however many they are: his proxy sees no reset."""
    port = free_port()
    # Who is told to stop may take longer where browsers might have to be sent away; here there are none.
    environ = edge_environ(redis_url, port, BRIDGE_EDGE_DRAIN="60")
    async with leading_writer(redis_url), program("edge", environ=environ) as edge:
        await edge.ready()
        edge.signal(signal.SIGSTOP)
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(600)]
        for _, writer in waiting:
            writer.write(b"GET /client.js HTTP/1.0\r\n\r\n")
        edge.signal(signal.SIGTERM)
        edge.signal(signal.SIGCONT)
        for reader, writer in waiting:
            assert (await asyncio.wait_for(reader.read(), PATIENCE_S)).startswith(b"HTTP/1.0 200 ")
            writer.close()
        assert await edge.ended() == 0
