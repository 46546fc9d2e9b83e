"""Programs of ours that start in a hundredth of a second: a third of the suite's time was Python importing them anew.

One process beside the tests has imported everything and waits. Asked for ``python -m bridge …`` it forks; the fork
has the words, environment, folder and standard streams that it would have been started with, and runs the command
line from its first line on. It is a child of the tests' process like any other: its pid, its signals and its exit
code are its own, and ``kill -9`` is one.

Whatever a fork could not show is started as usual: another interpreter, folder or import path, an environment that
acts before Python's first line (``LD_PRELOAD``, ``TZ``), a terminal. So is everything with
``BRIDGE_TEST_COLD_START=1``. Programs that are installed, bundled or started by other programs are never forked.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import gc
import importlib
import io
import json
import os
import pkgutil
import platform
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bridge

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "bridge")
_MODULES = (("bridge",), ("tests.support.crashing",))

_CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine())
_CLONE_PARENT = 0x8000
_REQUEST_BYTES = 2**18
_READ_LATE = ("BRIDGE_", "HOME", "PATH", "PYTHONPATH", "USER", "CREDENTIALS_DIRECTORY", "PYTEST_CURRENT_TEST")
"""What a program looks at only after its first line, or that we look at here: it may differ."""

_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
_CHILDS_ENDS = ("p2cread", "c2pwrite", "errwrite")
_GIVEN: dict[str, Any] = {
    "preexec_fn": None,
    "close_fds": True,
    "pass_fds": (),
    "cwd": Any,
    "env": Any,
    "startupinfo": None,
    "creationflags": 0,
    "shell": False,
    **dict.fromkeys(_PIPES, Any),
    "restore_signals": True,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
    "leads": Any,
    "process_group": -1,
}
"""What the hook is given, in its order, and the only value that a fork can have; ``Any``: every one."""


class WarmPopen(subprocess.Popen[Any]):
    """``subprocess.Popen`` that forks our programs where it can; asyncio's subprocesses are made by it, too."""

    _lock = threading.Lock()
    _waiting: socket.socket | None = None

    def _execute_child(self, args: Any, executable: Any, *rest: Any) -> None:
        # CPython's own hook, the same from 3.11 to 3.14: nothing public stands between the pipes and the start.
        given = dict(zip(_GIVEN, rest, strict=True))
        pid = None
        if executable is None and all(given[name] == usual for name, usual in _GIVEN.items() if usual is not Any):
            cwd, env = os.fspath(given["cwd"] or os.getcwd()), dict(given["env"] or os.environ)
            ends = [given[name] if given[name] != -1 else usual for usual, name in enumerate(_CHILDS_ENDS)]
            if _can_fork(args, cwd, env) and not any(map(os.isatty, ends)):
                pid = self._forked({"words": args[2:], "cwd": cwd, "env": env, "leads": given["leads"]}, ends)
        if pid is None:
            super()._execute_child(args, executable, *rest)  # type: ignore[misc]
            return
        self.pid, self._child_created = pid, True
        self._close_pipe_fds(*(given[name] for name in _PIPES))  # type: ignore[attr-defined]

    @classmethod
    def _forked(cls, request: dict[str, Any], ends: list[int]) -> int | None:
        told = json.dumps(request).encode()
        if len(told) > _REQUEST_BYTES:
            return None
        with cls._lock:
            if cls._waiting is None:
                cls._waiting = _start()
            socket.send_fds(cls._waiting, [told], ends)
            return int(cls._waiting.recv(64)) or None


def _can_fork(args: Any, cwd: str, env: Mapping[Any, Any]) -> bool:
    if _CLONE is None or os.environ.get("BRIDGE_TEST_COLD_START") == "1":
        return False
    if (
        tuple(args[:2]) != COMMAND[:2]
        or tuple(args[2:3]) not in _MODULES
        or not all(isinstance(text, str) for text in (*args, *env, *env.values()))
    ):
        return False
    # The folder comes first, and the import path then.
    if Path(cwd).resolve() != ROOT and (env.get("PYTHONPATH") != str(ROOT) or Path(cwd, "bridge").exists()):
        return False
    changed = {name for name in env.keys() | _USUAL.keys() if env.get(name) != _USUAL.get(name)}
    return Path(cwd).is_dir() and all(name.startswith(_READ_LATE) for name in changed)


_USUAL = dict(os.environ)


def _start() -> socket.socket:
    """The process that waits; it ends when its socket does, so with ours, however that ends."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, its):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _REQUEST_BYTES)
    with its:
        process = _Usual(
            [sys.executable, "-m", "tests.support.warm_start", str(its.fileno())],
            pass_fds=[its.fileno()],
            cwd=ROOT,
            env=_USUAL | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def let_go() -> None:
        ours.close()
        process.wait()

    atexit.register(let_go)
    return ours


_Usual = subprocess.Popen


def _wait(channel: socket.socket) -> list[str]:
    """Fork for each request; return the module's name and its words, in the fork."""
    before, child, parent = (getattr(ctypes.pythonapi, f"PyOS_{name}") for name in _FORK_HOOKS)
    clone = ctypes.PyDLL(None).syscall
    gc.collect()
    gc.freeze()
    while True:
        told, ends, *_ = socket.recv_fds(channel, _REQUEST_BYTES, 3)
        if not told:
            sys.exit()
        before()
        # A sibling instead of a child: whoever asked can wait for it.
        pid = clone(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
        if pid:
            parent()
            for end in ends:
                os.close(end)
            channel.send(str(max(pid, 0)).encode())
            continue
        child()
        channel.close()
        return _become(json.loads(told), ends)


_FORK_HOOKS = ("BeforeFork", "AfterFork_Child", "AfterFork_Parent")


def _become(request: dict[str, Any], ends: list[int]) -> list[str]:
    for usual, end in enumerate(ends):
        os.dup2(end, usual)
        os.close(end)
    # The old ones know of what stood there before, for example that it could be wound back.
    sys.stdin, sys.stdout, sys.stderr = (_stream(old) for old in (sys.stdin, sys.stdout, sys.stderr))
    # SIGABRT tells where one stands that does not end.
    faulthandler.enable()
    if request["leads"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    words: list[str] = request["words"]
    return words


def _stream(old: Any) -> io.TextIOWrapper:
    """A standard stream as Python makes it, on what the descriptor is now."""
    buffering = 0 if old.write_through else -1
    again: Any = open(old.fileno(), f"{old.mode[0]}b", buffering, closefd=False)  # noqa: SIM115 - as long as we live
    getattr(again, "raw", again).name = old.name
    return io.TextIOWrapper(
        again, old.encoding, old.errors, line_buffering=old.line_buffering, write_through=old.write_through
    )


def _import_all() -> None:
    for module in pkgutil.walk_packages(bridge.__path__, "bridge."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    _import_all()
    name, *sys.argv[1:] = _wait(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module(name, run_name="__main__", alter_sys=True)
