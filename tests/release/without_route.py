"""Run what a bundle installed where there is no route: ``python -m tests.release.without_route COMMAND FOLDER``.

It is started in a network namespace of its own. Worker and edge are the installed ones; Redis and the provider are this
checkout's. The last line is the mail that a browser was shown.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Simulator, World
from tests.support.browser_side import open_sse
from tests.support.processes import Program, edge_environ, worker_environ
from tests.support.stage import BOB, bearer
from tests.support.waiting import PATIENCE_S

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
PORT = 8080
"""Nobody else is in this namespace."""


def raise_loopback() -> None:
    """``ip link set lo up``, without the program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name, flags = struct.unpack("16sh", fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh", name, flags | _IFF_UP))


def has_route() -> bool:
    """Whether anything but this machine can be reached: the address is one for documents."""
    with socket.socket() as sock:
        return sock.connect_ex(("192.0.2.1", 80)) != errno.ENETUNREACH


@asynccontextmanager
async def running(command: str, part: str, environ: Mapping[str, str]) -> AsyncIterator[Program]:
    """A service of the installed bundle, until the block ends; it stops in order."""
    process = await asyncio.create_subprocess_exec(
        *(command, part),
        cwd="/",
        env={"PATH": os.environ["PATH"], "BRIDGE_LOG_FORMAT": "json"} | dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    program = Program(process)
    try:
        await program.ready()
        yield program
        assert await program.stop() == 0, program.lines
    finally:
        if process.returncode is None:
            await program.kill()


async def main(command: str, folder: Path) -> None:
    raise_loopback()
    assert not has_route()
    with EmbeddedServer(folder) as server:
        async with (
            await Simulator.start(World(1, users=3)) as provider,
            running(command, "worker", worker_environ(server.url, provider)),
            running(command, "edge", edge_environ(server.url, PORT)),
            await open_sse(f"http://127.0.0.1:{PORT}", **bearer(BOB)) as browser,
        ):
            await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
            sent = provider.world.deliver_mail(BOB)
            frame = await browser.until("exmail.mail.new")
            assert frame.data["data"]["mail_id"] == sent.mail_id
    sys.stdout.write(orjson.dumps(frame.data).decode() + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
