"""A port that another program takes between binding and listening: one clear line, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

from bridge.journal.embedded import EmbeddedServer
from tests.support.processes import ROOT, edge_environ, free_port
from tests.support.waiting import PATIENCE_S, until


async def test_a_port_that_is_taken_meanwhile_is_named_in_one_line(own_server: EmbeddedServer) -> None:
    """Both could be bound, for neither listened; the second one to listen is told, and does not blame descriptors."""
    own_server.kill()  # an edge listens when Redis has answered
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "edge"),
        cwd=ROOT,
        env=kept | edge_environ(own_server.url, port),
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[bytes] = []

    async def read() -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            lines.append(line)

    reading = asyncio.create_task(read())
    try:
        await until(lambda: any(b"Redis" in line or b"journal away" in line for line in lines))
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            own_server.restart()
            async with asyncio.timeout(PATIENCE_S):
                code = await process.wait()
                await reading
    finally:
        if process.returncode is None:
            process.kill()
    assert code == 1
    assert json.loads(lines[-1])["why"] == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert not [line for line in lines if b"descriptors" in line or b"Traceback" in line]
