"""An event loop in which those who are many take turns with everybody else."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from bridge.obs.turns import FEW, MOST, new_event_loop

CROWD = 2 * MOST + 50


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loop is asyncio's own")
@pytest.mark.parametrize("most", [FEW, MOST])
def test_a_crowd_is_served_in_turns(most: int) -> None:
    """However many become readable at once: between two turns all others are served, and each has his turn."""
    turns: list[list[int]] = [[]]
    pairs = [socket.socketpair() for _ in range(CROWD)]
    loop = new_event_loop(most)

    async def serve() -> None:
        for number, (ours, theirs) in enumerate(pairs):
            theirs.send(b"x")
            # Nobody reads what came: each stays ready, as one does who keeps sending.
            loop.add_reader(ours, lambda number=number: turns[-1].append(number))
        while {number for turn in turns for number in turn} != set(range(CROWD)):
            turns.append([])
            await asyncio.sleep(0)

    try:
        loop.run_until_complete(asyncio.wait_for(serve(), 60))
    finally:
        loop.close()
        for ours, theirs in pairs:
            ours.close()
            theirs.close()
    # The last goes on until the loop has ended.
    assert max(map(len, turns[:-1])) == most


def test_time_and_sockets_go_on_as_before() -> None:
    """Timers come when they are due, writers and readers are told, and a program of its own can be waited for."""

    async def live() -> bytes:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        await asyncio.sleep(0.01)
        got = await reader.read(-1)
        writer.close()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
        assert await process.wait() == 0
        return got

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(-1))
        writer.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        server = runner.run(asyncio.start_server(echo, "127.0.0.1", 0))
        assert runner.run(asyncio.wait_for(live(), 60)) == b"x" * 1_000_000
        server.close()
