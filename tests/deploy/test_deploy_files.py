"""Every file under ``deploy/`` is read by the program that it is written for."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.settings import SettingsError, load_settings, require_for
from bridge.settings.table import TABLE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ADMIN_PORTS = ("BRIDGE_WORKER_ADMIN_LISTEN", "BRIDGE_EDGE_ADMIN_LISTEN", "BRIDGE_SIGNON_ADMIN_LISTEN")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def run(*words: object, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environ}, capture_output=True, text=True, timeout=120)


def test_the_image_file_is_clean(require_binary: Callable[[str], str]):
    """hadolint finds nothing in the Dockerfile."""
    told = run(require_binary("hadolint"), DEPLOY / "Dockerfile")
    assert told.returncode == 0, told.stdout


def test_the_image_gets_all_that_it_copies():
    """What the Dockerfile copies from the checkout is there, and .dockerignore lets it through."""
    copied = re.findall(r"^COPY (?!--from)(\S+) ", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in let_through


def composed(require_binary: Callable[[str], str]) -> dict:
    compose = require_binary("docker-compose")
    told = run(compose, "-f", DEPLOY / "compose.yaml", "config", "--format", "json", BRIDGE_PROVIDER_CLIENT_ID="corp")
    assert told.returncode == 0, told.stderr
    found: dict = json.loads(told.stdout)
    return found


def test_the_compose_file_is_valid(require_binary: Callable[[str], str]):
    """``docker-compose config`` accepts it without a word, with nothing set."""
    told = run(require_binary("docker-compose"), "-f", DEPLOY / "compose.yaml", "config", "-q")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("service", ["worker", "edge", "signon"])
def test_the_composed_settings_are_ours(service: str, require_binary: Callable[[str], str], tmp_path: Path):
    """Every variable in the compose file is a setting, and with its secrets in place the command has all it needs."""
    part = composed(require_binary)["services"][service]
    known = {setting.variable for setting in TABLE}
    environ = {}
    for name, value in part["environment"].items():
        assert name.removesuffix("_FILE") in known
        if name.endswith("_FILE"):
            file = tmp_path / Path(value).name
            assert value == f"/run/secrets/{file.name}"
            assert file.name in {secret["source"] for secret in part["secrets"]}
            file.write_text("a-secret-for-tests-of-32-bytes-or-more")
            value = str(file)
        environ[name] = value
    settings = load_settings(environ, None)
    require_for(settings, service)
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]


def test_a_proxy_on_the_host_reaches_what_its_file_asks(require_binary: Callable[[str], str]):
    """Browsers' ports, and the edge's health; nothing is reached from other machines."""
    services = composed(require_binary)["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    reached = {port["published"] for port in published}
    for file in ("haproxy.cfg", "Caddyfile"):
        lines = re.sub(r"#.*", "", (DEPLOY / "proxy" / file).read_text())
        asked = re.findall(r"127\.0\.0\.1:(\d+)|check port (\d+)|health_port (\d+)", lines)
        assert {"".join(each) for each in asked} <= reached


def test_valkey_keeps_what_it_is_given(require_binary: Callable[[str], str]):
    """The journal's server writes an append-only file, never evicts, and is reached by the bridge alone."""
    parts = composed(require_binary)
    valkey = parts["services"]["valkey"]
    assert "--appendonly yes" in " ".join(valkey["command"])
    assert "--maxmemory-policy noeviction" in " ".join(valkey["command"])
    assert "ports" not in valkey
    assert [parts["networks"][name].get("internal") for name in valkey["networks"]] == [True]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_valid(unit: Path, require_binary: Callable[[str], str], tmp_path: Path):
    """``systemd-analyze verify`` accepts each unit without a word; only the program's path is another one here."""
    text = unit.read_text()
    for name in ("exmail-bridge", "exmail-bridge-secrets"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    # A template is looked at as one of its instances, with its drop-ins.
    copy = tmp_path / unit.name.replace("@.", "@1.")
    copy.write_text(text.replace("/opt/exmail-bridge/bin/", f"{tmp_path}/"))
    assert copy.read_text() != text
    shutil.copytree(unit.with_name(f"{unit.name}.d"), tmp_path / f"{copy.name}.d")
    told = run(require_binary("systemd-analyze"), "verify", "--man=no", copy)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_closed(unit: Path, require_binary: Callable[[str], str]):
    """``systemd-analyze security`` rates each unit 1.5 or better, of 10 for an open one."""
    told = run(require_binary("systemd-analyze"), "security", "--offline=true", "--threshold=15", "--no-pager", unit)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_set_only_settings(unit: Path):
    """A variable in a unit, or in its drop-in, is a setting of ours, and a secret is in the runtime directory, where it
    is handed on at the start and at a reload, before the program reads it."""
    known = {setting.variable for setting in TABLE}
    text = unit.read_text()
    [folder] = re.findall(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE)
    [drop_in] = unit.with_name(f"{unit.name}.d").glob("*.conf")
    for name, value in re.findall(r"^Environment=(\w+)=(.*)$", text + drop_in.read_text(), re.MULTILINE):
        assert name.removesuffix("_FILE") in known
        assert not name.endswith("_FILE") or value.startswith(f"%t/{folder}/")
    handed_on = f"=+/opt/exmail-bridge/bin/exmail-bridge-secrets %t/{folder}\n"
    assert f"ExecStartPre{handed_on}" in text
    assert f"ExecReload{handed_on}ExecReload=+/bin/kill -HUP $MAINPID\n" in text
    assert "Type=notify\n" in text


def seconds_of(text: str) -> float:
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s?)?", text)
    assert found is not None
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def longest_stop_s() -> float:
    """How long an edge may take to stop, whatever is set."""
    longest = {"BRIDGE_EDGE_DRAIN": "120", "BRIDGE_EDGE_DRAIN_DELAY": "60"}
    for name in longest:
        with pytest.raises(SettingsError):
            load_settings({name: str(int(longest[name]) + 1)}, None)
    return load_settings(longest, None).edge.stop_s


def test_a_unit_lets_the_edge_end_by_itself():
    """systemd waits longer than an edge, and the parent of its processes, may take by their settings."""
    unit = (DEPLOY / "systemd" / "exmail-bridge-edge.service").read_text()
    [patience] = re.findall(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE)
    assert seconds_of(patience) > longest_stop_s() + 5


def test_a_container_lets_the_edge_end_by_itself(require_binary: Callable[[str], str]):
    """Docker does too."""
    patience = composed(require_binary)["services"]["edge"]["stop_grace_period"]
    assert seconds_of(patience) > longest_stop_s() + 5


class _Livez(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def livez() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Livez) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("setting", ADMIN_PORTS)
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_a_container_is_as_healthy_as_its_part(
    setting: str, status: int, code: int, livez: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
):
    """The image's health check asks the admin port wherever the settings put it, whatever part runs."""
    monkeypatch.setattr(_Livez, "status", status)
    # Port 1 stands for the part that does not run here.
    ports = dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1")
    ports[setting] = f"0.0.0.0:{livez.server_address[1]}"
    assert run(sys.executable, DEPLOY / "alive.py", **ports).returncode == code


def test_nothing_running_is_not_healthy():
    """Where no admin port is open the check fails."""
    told = run(
        *(sys.executable, DEPLOY / "alive.py"),
        **dict.fromkeys(ADMIN_PORTS, "0.0.0.0:1"),
    )
    assert (told.returncode, told.stderr) == (1, "")
