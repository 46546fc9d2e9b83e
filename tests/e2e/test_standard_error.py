"""Standard error that nobody reads, or that is closed: worker and edge work, and end when they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping

import pytest

from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following
from tests.support.processes import ROOT, edge_environ, free_port, http_get, worker_environ
from tests.support.stage import BOB
from tests.support.waiting import PATIENCE_S, until


@contextlib.contextmanager
def full_pipe():
    """A pipe that takes nothing any more."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"-" * 4096)
    yield writing
    os.close(reading)
    os.close(writing)


@contextlib.asynccontextmanager
async def silent(
    word: str, environ: Mapping[str, str], stderr: int | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program whose standard error is ``stderr``, or is closed."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    command = [sys.executable, "-m", "bridge", word]
    process = await asyncio.create_subprocess_exec(
        *(command if stderr is not None else ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]),
        env=base | {"PYTHONPATH": str(ROOT), "BRIDGE_LOG_LEVEL": "debug"} | dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ready(port: int) -> bool:
    with contextlib.suppress(OSError):
        return (await http_get("127.0.0.1", port, "/readyz"))[0] == 200
    return False


@pytest.mark.parametrize("closed", [False, True])
async def test_mails_come_through_and_both_end_in_order(redis_url: str, closed: bool) -> None:
    """Nothing waits for whoever should read the log."""
    port, of_worker, of_edge = free_port(), free_port(), free_port()
    async with await Simulator.start(World(7, users=3)) as provider:
        account = worker_environ(redis_url, provider, BRIDGE_WORKER_ADMIN_LISTEN=f"127.0.0.1:{of_worker}")
        door = edge_environ(redis_url, port, BRIDGE_EDGE_ADMIN_LISTEN=f"127.0.0.1:{of_edge}")
        with full_pipe() as pipe:
            stderr = None if closed else pipe
            async with silent("worker", account, stderr) as worker, silent("edge", door, stderr) as edge:
                for each in (of_worker, of_edge):
                    await until(lambda each=each: ready(each))
                await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
                async with following(f"http://127.0.0.1:{port}", (BOB,)) as browsers:
                    sent = [mail.mail_id for mail in provider.world.deliver_many(5, BOB)]
                    await until(lambda: all(browser.mail_ids == sent for browser in browsers))
                for program in (worker, edge):
                    program.send_signal(signal.SIGTERM)
                    assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 0


@pytest.mark.parametrize("closed", [False, True])
async def test_what_cannot_start_ends(redis_url: str, closed: bool) -> None:
    """With its exit code, where it cannot say why."""
    with full_pipe() as pipe:
        async with silent("edge", {"BRIDGE_REDIS_URL": redis_url}, None if closed else pipe) as edge:
            assert await asyncio.wait_for(edge.wait(), PATIENCE_S) == 2
