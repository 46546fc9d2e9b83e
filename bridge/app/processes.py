"""``edge --workers N``: a parent that binds the port, and children that inherit it.

The parent serves no browser. It starts the children, replaces one that dies or hangs, and answers ``/livez`` and
``/readyz`` for all; each child has a metrics port of its own. Every second each child reports that port and its
readiness on its standard output. Its standard input ends when the parent dies, and then it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from bridge import __version__
from bridge.app.edge import serve_edge
from bridge.app.patience import ending_within
from bridge.app.public_port import bind
from bridge.app.reloading import on_hangup
from bridge.events import from_json, to_json
from bridge.obs.admin import Admin
from bridge.obs.lasting import Lasting
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.obs.systemd import VARIABLES, Watched
from bridge.settings import Address, Present
from bridge.supervision import Shutdown

log = logging.getLogger(__name__)

_TELL_S = 1.0
_RESTART_S = 1.0
_KILL_S = 2.0
"""A child ends by itself in time, unless it is stopped (SIGSTOP); this is the time it gets on top."""
_SILENT_S = 5.0
"""A child that is silent for this long is not ready; after twice as long it is replaced."""
_START_S = 60.0
"""A child that has not said anything yet may be silent for this long: on a busy machine a start takes its time, and the
next one would take no less."""

_STARTING = Unready("starting", "starting")


@dataclass(slots=True)
class _Child:
    number: int
    process: asyncio.subprocess.Process | None = None
    why_not_ready: Unready | None = _STARTING
    note: str | None = None
    heard_at: float = 0.0
    listens: bool = False
    again: bool = False
    owes_reload: bool = False

    def silent_s(self) -> float:
        """Seconds since its last report."""
        return time.monotonic() - self.heard_at

    def hangs(self) -> bool:
        """Whether it is to be replaced."""
        return self.silent_s() > (2 * _SILENT_S if self.listens else _START_S)

    def hang_up(self) -> None:
        """Have it read its settings again: now, or when it is up, because until then the signal would end it."""
        self.owes_reload = not self.listens
        if self.listens and self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGHUP)

    def verdict(self) -> Unready | None:
        """Why it is not ready; ``None`` if it is."""
        if self.listens and self.silent_s() > _SILENT_S:
            return Unready("process", f"edge process {self.number} has said nothing for {self.silent_s():.0f} s")
        return self.why_not_ready


async def run_edge(present: Present, workers: int) -> None:
    """Run the edge until SIGTERM or Ctrl-C, in this process or in ``workers`` child processes."""
    children = [_Child(number) for number in range(workers if workers > 1 else 0)]

    def pass_on() -> None:
        for child in children:
            child.hang_up()

    watched = Watched()

    def up(health: Callable[[], Unready | None], port: Admin) -> None:
        watched.up(health, port.note)

    with Shutdown(reload=on_hangup(present, watched, pass_on)) as shutdown:
        async with watched.attend(shutdown.event):
            if children:
                await serve_processes(present, children, shutdown.event, watched)
                return
            metrics = Metrics(namespace=present.settings.namespace, version=__version__, worker=False)
            async with ending_within(lambda: present.settings.edge.stop_s, shutdown.event):
                await serve_edge(
                    present, metrics, shutdown.event, sock=None, admin=True, tell_health=up, beat=watched.beat
                )


async def serve_processes(present: Present, children: list[_Child], stop: asyncio.Event, watched: Watched) -> None:
    """Run the children on one port until ``stop``; ``watched`` is told how they are."""
    sock = await bind(present.settings.edge.listen)
    admin = present.settings.edge.admin_listen

    def ready() -> Unready | None:
        return Unready("closing", "shutting down") if stop.is_set() else _verdict(children)

    port = Admin(
        metrics=Metrics(namespace=present.settings.namespace, version=__version__, worker=False, edge=False),
        host=admin.host,
        port=admin.port,
        alive=lambda: None,
        ready=ready,
        note=lambda: next((child.note for child in children if child.note), None),
    )
    try:
        await port.start()
        watched.up(ready, port.note)
        async with asyncio.TaskGroup() as tasks:
            for child in children:
                tasks.create_task(_keep(child, sock, present, stop, watched.beat), name=f"edge process {child.number}")
            tasks.create_task(_close(sock, stop, present), name="port")
    finally:
        sock.close()
        await port.stop()


def _verdict(children: list[_Child]) -> Unready | None:
    """Ready if every child is that serves, and all have begun once; one that is started again counts only where none
    serves: a balancer must not leave the others because of it, however often it is tried."""
    running = [child for child in children if child.process is not None]
    if not running:
        return Unready("process", "no edge process runs")
    serves = any(child.listens for child in running)
    counted = [child for child in running if child.listens or not (serves and child.again)]
    return next((why for child in counted if (why := child.verdict())), None)


async def _close(sock: socket.socket, stop: asyncio.Event, present: Present) -> None:
    """Close the port when the children do: as long as any process has it open, connections would wait in vain."""
    await stop.wait()
    await asyncio.sleep(present.settings.edge.drain_delay_s)
    sock.close()


async def _keep(
    child: _Child, sock: socket.socket, present: Present, stop: asyncio.Event, beat: Callable[[], None]
) -> None:
    unable = Lasting()
    while not stop.is_set():
        try:
            process = child.process = await _start(child, sock, present.settings.edge.admin_listen)
        except OSError as error:
            # No descriptor, no memory, one process too many: the other children serve on.
            if unable.is_due():
                log.warning("edge process cannot be started", extra={"number": child.number, "error": str(error)})
            await _rest(stop)
            continue
        unable.over()
        child.heard_at = time.monotonic()
        stopping = asyncio.create_task(stop.wait())
        listening = asyncio.create_task(_listen(child, process))
        try:
            while not stop.is_set() and not listening.done() and not child.hangs():
                await asyncio.wait([stopping, listening], timeout=_TELL_S, return_when=asyncio.FIRST_COMPLETED)
                beat()
            if not stop.is_set() and not listening.done():
                log.error("edge process hangs, it is ended", extra={"number": child.number})
            if stop.is_set():
                await _end(process, present.settings.edge.stop_s + _KILL_S)
        finally:
            stopping.cancel()
            listening.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()
            child.process, child.why_not_ready, child.listens, child.again = None, _STARTING, False, True
        if not stop.is_set():
            log.error("edge process died, starting another", extra={"number": child.number, "code": process.returncode})
            await _rest(stop)


async def _rest(stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RESTART_S):
            await stop.wait()


async def _start(child: _Child, sock: socket.socket, admin: Address) -> asyncio.subprocess.Process:
    port = admin.port + 1 + child.number if admin.port else 0
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *sys.argv[1:], "--inherit", str(sock.fileno())),
        env={name: value for name, value in os.environ.items() if name not in VARIABLES}
        | {"BRIDGE_EDGE_ADMIN_LISTEN": str(Address(admin.host, port))},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=(sock.fileno(),),
    )


async def _listen(child: _Child, process: asyncio.subprocess.Process) -> None:
    """Read a child's reports until it ends."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        try:
            report = from_json(line)
            why, note = report["why"], report["note"]
        except (ValueError, TypeError, KeyError):
            # Something that is loaded into every Python of this machine has written there, too.
            continue
        child.why_not_ready = None if why is None else Unready(*why)
        child.note, child.heard_at = note, time.monotonic()
        child.listens = True
        if child.owes_reload:
            child.hang_up()
    await process.wait()


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await process.wait()


async def serve_child(present: Present, inherited: int) -> None:
    """Run as a child: serve on the parent's socket, report readiness, end with the parent."""
    sock = socket.socket(fileno=inherited)
    sock.setblocking(False)
    metrics = Metrics(namespace=present.settings.namespace, version=__version__, worker=False)
    with Shutdown(reload=on_hangup(present)) as shutdown:
        telling: list[asyncio.Task[None]] = []

        def tell_health(health: Callable[[], Unready | None], port: Admin) -> None:
            telling.append(asyncio.create_task(_tell(health, port), name="health"))

        parent = asyncio.create_task(_parent_gone(shutdown.event), name="parent")
        try:
            async with ending_within(lambda: present.settings.edge.stop_s, shutdown.event):
                await serve_edge(present, metrics, shutdown.event, sock=sock, admin=True, tell_health=tell_health)
        finally:
            for task in (parent, *telling):
                task.cancel()


async def _tell(health: Callable[[], Unready | None], port: Admin) -> None:
    # The parent may hang: a report that does not fit into the pipe is dropped, never waited for.
    os.set_blocking(sys.stdout.fileno(), False)
    while True:
        unready = health()
        report = {"why": None if unready is None else list(unready), "note": port.note(), "admin": port.address}
        line = to_json(report) + b"\n"
        with contextlib.suppress(BlockingIOError):
            os.write(sys.stdout.fileno(), line)
        await asyncio.sleep(_TELL_S)


async def _parent_gone(stop: asyncio.Event) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    stop.set()
