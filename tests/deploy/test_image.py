"""The image: its file, what goes into it, and its health check, as far as all that can be seen without Docker."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.programs import ROOT

DEPLOY = ROOT / "deploy"
FILE = (DEPLOY / "Dockerfile").read_text()
ADMIN_PORTS = ("BRIDGE_WORKER_ADMIN_LISTEN", "BRIDGE_EDGE_ADMIN_LISTEN", "BRIDGE_SIGNON_ADMIN_LISTEN")
PYTHON = "/opt/exmail-bridge/bin/python"


def run(*words: object, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120)


def instructions() -> list[tuple[str, str]]:
    """What stands in the file, line by line: the word, and what it is about."""
    text = re.sub(r"^#.*\n", "", FILE, flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


def copied() -> list[tuple[str, str]]:
    """What is taken out of the checkout, and where it goes."""
    found = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [(source, target) for source, target in found]


def test_the_image_file_is_clean(require_binary: Callable[[str], str]):
    """hadolint finds nothing in the Dockerfile."""
    told = run(require_binary("hadolint"), DEPLOY / "Dockerfile")
    assert told.returncode == 0, told.stdout


def test_the_image_gets_all_that_it_copies():
    """What the Dockerfile copies from the checkout is there, and .dockerignore lets it through, and nothing else."""
    let_through = re.findall(r"^!(.*)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    sources = [source for source, _ in copied()]
    assert sorted(sources) == sorted(let_through)
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_is_built_from_what_is_named():
    """Base image and index are arguments, each stage begins with the same base, and no address of a registry stands
    in the file; what is installed is the production lock with its hashes, and nobody is root in the end."""
    told = instructions()
    bases = [rest.partition(" ")[0] for word, rest in told if word == "FROM"]
    assert bases == ["${BASE_IMAGE}", "${BASE_IMAGE}"]
    arguments = [rest for word, rest in told if word == "ARG"]
    # Its one default is the official name. An index without a value is one that pip is not told of.
    assert arguments[0] == "BASE_IMAGE=python:3.13-slim"
    assert {"PIP_INDEX_URL", "PIP_TRUSTED_HOST"} <= set(arguments)
    assert "://" not in re.sub(r"^#.*\n", "", FILE, flags=re.MULTILINE)
    installed = [rest for word, rest in told if word == "RUN" and "pip install" in rest]
    assert len(installed) == 1
    assert "--require-hashes --only-binary :all: -r /tmp/requirements.lock " in installed[0]
    # The server for `dev` only where somebody asks for it.
    assert " ${DEV:+-r /tmp/requirements-dev.lock} " in installed[0]
    assert installed[0].count(" -r ") == 1
    assert ("deploy/requirements.lock", "/tmp/requirements.lock") in copied()
    assert [rest for word, rest in told if word == "USER"] == ["10001:10001"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's root, as far as our own files go: what is copied is copied, and what is run on it is run."""
    root = tmp_path_factory.mktemp("image")
    for source, target in copied():
        place = root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    [compiled] = [rest for word, rest in instructions() if word == "RUN" and "compileall" in rest]
    words = [
        sys.executable if word == PYTHON else word.replace("/app", f"{root}/app") for word in shlex.split(compiled)
    ]
    told = run(*words)
    assert told.returncode == 0, told.stdout
    return root


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes users")
def test_the_user_is_one_that_exists(tmp_path: Path):
    """What makes the user does so without a warning, under the numbers that the image runs as, with the working folder
    as its home."""
    [making] = [rest for word, rest in instructions() if word == "RUN" and "useradd" in rest]
    [number] = [rest for word, rest in instructions() if word == "USER"]
    [folder] = [rest for word, rest in instructions() if word == "WORKDIR"]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\n")
    # As in Debian's.
    (tmp_path / "etc" / "login.defs").write_text("UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n")
    told = run("sh", "-ec", re.sub(r"\b(groupadd|useradd) ", rf"\1 --prefix {tmp_path} ", making))
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    _, _, *numbers, _, home, shell = (tmp_path / "etc" / "passwd").read_text().splitlines()[-1].split(":")
    assert (":".join(numbers), home, shell) == (number, folder, "/usr/sbin/nologin")
    assert f":{numbers[1]}:" in (tmp_path / "etc" / "group").read_text().splitlines()[-1]
    assert (tmp_path / home.lstrip("/")).stat().st_uid == int(numbers[0])


def test_what_is_copied_runs(image: Path, tmp_path: Path):
    """The entry point and its command, in another folder and from these files alone."""
    [entry] = [json.loads(rest) for word, rest in instructions() if word == "ENTRYPOINT"]
    [command] = [json.loads(rest) for word, rest in instructions() if word == "CMD" and "alive" not in rest]
    assert entry[0] == PYTHON
    told = run(
        sys.executable, *entry[1:], *command, cwd=tmp_path, PYTHONPATH=f"{image}/app", PYTHONDONTWRITEBYTECODE="1"
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "worker" in told.stdout


def test_the_doctor_has_what_it_compares_with(image: Path, tmp_path: Path):
    """In the image as in the wheel: the users of Redis, and the rules of Prometheus."""
    ask = (
        "from bridge.doctor import access_list, alerts\n"
        "for module in (access_list, alerts): print(next(place for place in module._PLACES if place.exists()))"
    )
    told = run(sys.executable, "-c", ask, cwd=tmp_path, PYTHONPATH=f"{image}/app", PYTHONDONTWRITEBYTECODE="1")
    assert told.returncode == 0, told.stderr
    found = [Path(line) for line in told.stdout.splitlines()]
    assert [place.relative_to(image).as_posix() for place in found] == [
        "app/bridge/doctor/users.acl",
        "app/bridge/doctor/rules.yml",
    ]
    assert [place.read_text() for place in found] == [
        (DEPLOY / "redis" / "users.acl").read_text(),
        (DEPLOY / "prometheus" / "rules.yml").read_text(),
    ]


class _Livez(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET


class _Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


@contextmanager
def serving(told: str) -> Iterator[str]:
    """A part that listens where it was told; the setting's value with its port."""
    host = told.strip("[]")
    with (_Server6 if ":" in host else _Server)((host, 0), _Livez) as server:
        # Seconds between two looks whether to end.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"{told}:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("setting", ADMIN_PORTS)
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_container_is_as_healthy_as_its_part(setting: str, status: int, code: int, monkeypatch: pytest.MonkeyPatch):
    """The image's health check asks the admin port wherever the settings put it, whatever part runs."""
    monkeypatch.setattr(_Livez, "status", status)
    # Port 1 stands for the part that does not run here.
    ports = dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1")
    with serving("0.0.0.0") as ports[setting]:
        assert run(sys.executable, DEPLOY / "alive.py", **ports).returncode == code


@pytest.mark.parametrize("told", ["127.0.0.9", "[::]", "[::1]", ""])
def test_a_part_is_asked_where_it_listens(told: str):
    """On one address alone, on IPv6 alone: where the setting says, not on 127.0.0.1 always."""
    ports = dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1")
    with serving(told) as ports[ADMIN_PORTS[1]]:
        assert run(sys.executable, DEPLOY / "alive.py", **ports).returncode == 0


def test_nothing_running_is_not_healthy():
    """Where no admin port is open the check fails."""
    told = run(sys.executable, DEPLOY / "alive.py", **dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1"))
    assert (told.returncode, told.stderr) == (1, "")


def test_what_speaks_no_http_is_not_healthy():
    """Something else on the port is no part of ours; the check says no, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        ports = dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1")
        ports[ADMIN_PORTS[0]] = f"127.0.0.1:{server.getsockname()[1]}"
        told = run(sys.executable, DEPLOY / "alive.py", **ports)
    assert (told.returncode, told.stderr) == (1, "")
