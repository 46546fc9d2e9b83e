"""A program that the tests fork is the program that they would have started (``tests/support/warm_start.py``)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.warm_start import COMMAND, ROOT, WarmPopen


def was_forked(pid: int) -> bool:
    """Its command line is that of the process which waited."""
    return b"tests.support.warm_start" in Path(f"/proc/{pid}/cmdline").read_bytes()


def descriptors(pid: int) -> list[str]:
    """What each of its descriptors is: a socket, a pipe, the name of a file."""
    return sorted(os.readlink(each).partition(":")[0] for each in Path(f"/proc/{pid}/fd").iterdir())


def test_every_program_of_the_tests_is_started_so() -> None:
    assert subprocess.Popen is WarmPopen


@pytest.mark.parametrize("words", [["token", "--help"], ["tokens"], ["config", "reference"], []])
def test_it_says_the_same_and_ends_alike(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code and what stands on either stream, to the byte."""

    def ran() -> tuple[int, bytes, bytes]:
        told = subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, check=False)
        return told.returncode, told.stdout, told.stderr

    warm = ran()
    monkeypatch.setenv("BRIDGE_TEST_COLD_START", "1")
    assert warm == ran()


@asynccontextmanager
async def simulating(cwd: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program of ours that serves; its first line has been said."""
    words = (*COMMAND, "simulate", "--listen", "127.0.0.1:0")
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*words, cwd=cwd, env=environ, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert b"simulated provider ready" in await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_it_is_a_child_that_signals_reach(number: signal.Signals, tmp_path: Path) -> None:
    """asyncio waits for it as for any other, and it works in the folder that it was given."""
    async with simulating(tmp_path) as process:
        place = Path(f"/proc/{process.pid}")
        assert was_forked(process.pid)
        assert int((place / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        assert (place / "cwd").readlink() == tmp_path
        process.send_signal(number)
        assert await process.wait() == (-number if number is signal.SIGKILL else 0)


async def test_it_has_no_descriptor_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def kinds() -> list[str]:
        async with simulating(tmp_path) as process:
            return descriptors(process.pid)

    warm = await kinds()
    monkeypatch.setenv("BRIDGE_TEST_COLD_START", "1")
    assert warm == await kinds()


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ([sys.executable, "-B", "-m", "bridge"], {}),
        ([*COMMAND], {"TZ": "Asia/Shanghai"}),
        ([*COMMAND], {"LD_PRELOAD": ""}),
        ([*COMMAND], {"PYTHONWARNINGS": "ignore"}),
        ([*COMMAND], {"BRIDGE_TEST_COLD_START": "1"}),
    ],
)
def test_what_a_fork_could_not_show_is_started(
    words: list[str], changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    words = [*words, "simulate", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline()
            assert not was_forked(process.pid)
        finally:
            process.terminate()


@pytest.mark.parametrize("which", ["folder", "path"])
def test_another_package_of_this_name_is_started(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder's own comes before that of the import path, and each before ours."""
    package = tmp_path / which / "bridge"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('another')")
    monkeypatch.setenv("PYTHONPATH", str(ROOT if which == "folder" else package.parent))
    cwd = package.parent if which == "folder" else tmp_path
    told = subprocess.run([*COMMAND, "token", "--help"], cwd=cwd, capture_output=True, check=True)
    assert told.stdout == b"another\n"
