"""What systemd is told: over a real datagram socket, by the real programs."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.obs.readiness import Unready
from bridge.obs.systemd import Notices, Watched
from tests.support.processes import edge_environ, free_port, program
from tests.support.stage import SECRET
from tests.support.waiting import PATIENCE_S

AWAY = "redis://127.0.0.1:1"


class Manager:
    """The other end: every notice that came, in order."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self.sock.setblocking(False)

    async def notice(self) -> list[str]:
        """The next notice's lines."""
        async with asyncio.timeout(PATIENCE_S):
            return (await asyncio.get_running_loop().sock_recv(self.sock, 4096)).decode().split("\n")

    async def until(self, line: str) -> list[list[str]]:
        """All notices up to one with this line."""
        seen = [await self.notice()]
        while line not in seen[-1]:
            seen.append(await self.notice())
        return seen

    def waiting(self) -> list[list[str]]:
        """What has come by now."""
        found = []
        while True:
            try:
                found.append(self.sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return found


@contextmanager
def managing(where: str) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(where.replace("@", "\0", 1) if where.startswith("@") else where)
        yield Manager(sock, where)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    with managing(f"@{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify")) as manager:
        yield manager


@pytest.fixture
async def at_path(tmp_path: Path) -> AsyncIterator[Manager]:
    with managing(str(tmp_path / "notify")) as manager:
        yield manager


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def fill(address: str | bytes) -> bool:
    """Put an empty notice into the manager's queue; return whether there was room."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(b"", address)
        except BlockingIOError:
            return False
        return True


def test_a_notice_is_one_datagram(manager: Manager) -> None:
    """Whatever kind of name the socket has."""
    Notices({"NOTIFY_SOCKET": manager.name}).tell("READY=1", "STATUS=ok")
    assert manager.waiting() == [["READY=1", "STATUS=ok"]]


@pytest.mark.parametrize("name", ["", "vsock:2:1", "relative"])
def test_nobody_is_told_where_nobody_listens(name: str) -> None:
    """Without a socket, or with one that is none of ours."""
    notices = Notices({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    assert not notices.are_heard
    assert notices.watchdog_s is None
    notices.tell("READY=1")


def test_a_manager_that_is_gone_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And disturbs nothing."""
    notices = Notices({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    for _ in range(3):
        notices.tell("WATCHDOG=1")
    assert [record.message for record in caplog.records] == ["systemd cannot be told"]


def test_the_watchdog_is_another_process_s(tmp_path: Path) -> None:
    """A child inherits the variables; they name whom they are for."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    assert Notices(environ).watchdog_s == 3
    assert Notices(environ | {"WATCHDOG_PID": "1"}).watchdog_s is None


def test_the_watchdog_is_fed_while_the_program_looks_at_its_health(manager: Manager) -> None:
    """A loop that turns is not enough: what should go round in it may hang."""
    clock = Clock()
    watched = Watched(Notices({"NOTIFY_SOCKET": manager.name}), clock=clock)
    for clock.seconds in (100.0, 130.0, 131.0, 200.0):
        watched.look()
    assert manager.waiting() == [["WATCHDOG=1"]] * 2
    watched.beat()
    watched.look()
    assert manager.waiting() == [["WATCHDOG=1"]]


def test_the_status_is_told_when_it_changes(manager: Manager) -> None:
    """One line, of what ``/readyz`` says."""
    why: list[Unready | None] = [Unready("redis", "Redis: no\nanswer")]
    watched = Watched(Notices({"NOTIFY_SOCKET": manager.name}))
    watched.up(lambda: why[0], lambda: "the provider is away")
    watched.look()
    why[0] = None
    watched.look()
    watched.look()
    told = [line for notice in manager.waiting() for line in notice if line != "WATCHDOG=1"]
    assert told == ["READY=1", "STATUS=not ready: Redis: no answer", "STATUS=the provider is away"]


@pytest.mark.parametrize("reloads", [False, True])
def test_a_manager_that_is_busy_hears_later_that_a_service_is_ready(manager: Manager, reloads: bool) -> None:
    """Its queue was full: without that notice it would end the service after a while. The same after a reload."""
    clock = Clock()
    watched = Watched(Notices({"NOTIFY_SOCKET": manager.name}), clock=clock)
    if reloads:
        watched.up(lambda: None, lambda: None)
        assert manager.waiting() == [["READY=1", "STATUS=ok"]]
    while fill(manager.sock.getsockname()):
        continue
    if reloads:
        watched.reload(lambda: None)
    else:
        watched.up(lambda: None, lambda: None)
    watched.look()
    assert all(notice == [""] for notice in manager.waiting())
    watched.look()
    watched.look()
    told = [notice for notice in manager.waiting() if notice != ["WATCHDOG=1"]]
    assert told == [["READY=1", "STATUS=ok"]]


@pytest.mark.parametrize("early", [False, True])
def test_a_reload_does_not_say_that_a_service_is_ready_which_still_starts(manager: Manager, early: bool) -> None:
    """It says so itself, once its ports are open."""
    watched = Watched(Notices({"NOTIFY_SOCKET": manager.name}), clock=Clock())
    if not early:
        watched.up(lambda: None, lambda: None)
        manager.waiting()
    watched.reload(lambda: None)
    assert any("READY=1" in notice for notice in manager.waiting()) is not early


@pytest.mark.parametrize("words", [("worker",), ("signon",), ("edge",), ("edge", "--workers", "2")])
async def test_a_service_from_start_to_stop(words: tuple[str, ...], at_path: Manager) -> None:
    """Ready without a Redis, and the watchdog is fed: nothing that is away makes a restart useful. Then a reload, and
    the end. Of several processes one speaks."""
    environ = edge_environ(
        AWAY,
        free_port(),
        NOTIFY_SOCKET=at_path.name,
        # A socket holds ten notices, and more are lost: nobody may be fed more often than it is read.
        WATCHDOG_USEC="3000000",
        BRIDGE_PROVIDER_CLIENT_ID="corp",
        BRIDGE_PROVIDER_CLIENT_SECRET="key",
        BRIDGE_EDGE_JWT_SECRET=SECRET,
        BRIDGE_WORKER_ADMIN_LISTEN="127.0.0.1:0",
        BRIDGE_SIGNON_ADMIN_LISTEN="127.0.0.1:0",
        BRIDGE_SIGNON_LISTEN=f"127.0.0.1:{free_port()}",
    )
    async with program(*words, environ=environ) as service:
        [*_, (ready, status)] = await at_path.until("READY=1")
        assert ready == "READY=1"
        assert status.startswith("STATUS=not ready: ")
        await at_path.until("WATCHDOG=1")
        service.signal(signal.SIGHUP)
        [reloading] = [notice for notice in await at_path.until("READY=1") if "RELOADING=1" in notice]
        assert reloading[1].startswith("MONOTONIC_USEC=")
        await at_path.until("WATCHDOG=1")
        assert await service.stop() == 0
        await at_path.until("STOPPING=1")
        assert all("READY=1" not in notice for notice in at_path.waiting())


async def test_what_the_watchdog_ends_tells_where_it_stood(at_path: Manager) -> None:
    """A program whose event loop stands still can say nothing itself."""
    environ = edge_environ(AWAY, free_port(), NOTIFY_SOCKET=at_path.name, WATCHDOG_USEC="3000000")
    async with program("edge", environ=environ) as service:
        await at_path.until("READY=1")
        service.signal(signal.SIGABRT)
        assert await service.ended() == -signal.SIGABRT
    stood = [line["message"] for line in service.lines if "bridge/commands/command.py" in line["message"]]
    assert stood
    assert stood[0].endswith("in run_until_done")
