"""Whether a process has ended: only where that is sure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge.worker.process import has_ended, this_process
from tests.support.waiting import until

NAMED = "from bridge.worker.process import this_process; print(this_process(), flush=True); input()"


@contextmanager
def another() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and its name by its own account."""
    with subprocess.Popen(
        [sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_each_process_has_a_name_of_its_own() -> None:
    """The same each time; two differ in more than their host."""
    with another() as (process, name):
        mine = this_process()
        assert mine == this_process() != name
        assert mine.split(".")[0] == name.split(".")[0]
        assert name.split(".")[1] == str(process.pid)


async def test_one_that_runs_or_is_stopped_has_not_ended() -> None:
    """A process that says nothing is there all the same; so is this one."""
    assert not has_ended(this_process())
    with another() as (process, name):
        assert not has_ended(name)
        process.send_signal(signal.SIGSTOP)
        await until(lambda: state_of(process.pid) == "T")
        assert not has_ended(name)


async def test_one_that_was_killed_has_ended_at_once() -> None:
    """Also before anybody has asked for its exit code, and afterwards."""
    with another() as (process, name):
        process.kill()
        await until(lambda: state_of(process.pid) == "Z")
        assert has_ended(name)
        process.wait()
        assert has_ended(name)


def test_a_number_that_was_given_again_is_another_process() -> None:
    """The number lives; what it named has ended."""
    host, pid, began = this_process().split(".")
    assert has_ended(f"{host}.{pid}.{int(began) - 1}")


def test_one_that_cannot_be_looked_up_is_asked_for_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's is hidden under ``ProtectProc=invisible``: that it may not be signalled says that it is there."""

    def hidden(pid: int) -> tuple[str, int]:
        raise FileNotFoundError(pid)

    host, _, began = this_process().split(".")
    with another() as (process, name):
        monkeypatch.setattr("bridge.worker.process._looked_up", lambda pid: ("S", int(began)))
        assert this_process()
        monkeypatch.setattr("bridge.worker.process.this_process", lambda: f"{host}.{os.getpid()}.{began}")
        monkeypatch.setattr("bridge.worker.process._looked_up", hidden)
        assert not has_ended(name)

        def refused(pid: int, number: int) -> None:
            raise PermissionError(pid)

        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", refused)
            assert not has_ended(name)
        process.kill()
        process.wait()
        assert has_ended(name)
        assert not has_ended(f"{host}.{2**70}.{began}")


@pytest.mark.parametrize(
    "name",
    ["", "x", "x.1", "x.1.2.3", ".1.2", "x.-1.2", "x.1.²", "0123456789ab.1.1", "{host}.x.1", "{host}.1.", "{host}..1"],
)
def test_what_names_no_process_of_this_host_has_not_ended(name: str) -> None:
    """The name stands in Redis, so it may be anything; another host's process is the lease's."""
    host = this_process().split(".")[0]
    assert not has_ended(name.format(host=host))


def test_where_the_kernel_tells_nothing_nobody_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody is taken for dead, whatever stands in Redis."""
    host, pid, began = this_process().split(".")
    monkeypatch.setattr("bridge.worker.process._BOOT", "/nowhere/boot_id")
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_: (_ for _ in ()).throw(PermissionError()))
    monkeypatch.setattr("bridge.worker.process._BOOT", __import__("pathlib").Path("/nowhere"))
    assert this_process() == ""
    assert not has_ended(f"{host}.{pid}.{int(began) - 1}")
