"""The scripts beside ``deploy/compose.yaml``: what they make, and what they tell Docker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.composed import DEPLOY, OURS, make_secrets, resolved
from tests.support.processes import ROOT
from tests.support.waiting import PATIENCE_S

SCRIPTS = [
    path
    for folder in ("deploy", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and re.match(rb"#!.*sh\b", path.read_bytes()[:30])
]


@pytest.fixture
def compose(require_binary: Callable[[str], str]) -> str:
    return require_binary("docker-compose")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return make_secrets(tmp_path / "secrets")


def test_the_secrets_that_are_mounted_are_made(compose: str, secrets: Path):
    """Each file that the compose file mounts is one that ``make-secrets`` leaves, or the interface key; others than
    their owner do not get into the folder; and a second run changes none that is there."""
    found = resolved(compose, SECRETS=str(secrets))["secrets"]
    files = {Path(each["file"]).relative_to(secrets).as_posix() for each in found.values()}
    made = {path.relative_to(secrets).as_posix() for path in secrets.rglob("*") if path.is_file()}
    assert made - files == {"redis/admin"}
    assert files <= made
    assert secrets.stat().st_mode & 0o777 == (secrets / "redis").stat().st_mode & 0o777 == 0o700
    kept = {name: ((secrets / name).read_text(), (secrets / name).stat().st_ino) for name in made}
    make_secrets(secrets)
    assert kept == {name: ((secrets / name).read_text(), (secrets / name).stat().st_ino) for name in made}
    users = (secrets / "users.acl").read_text().splitlines()
    assert {line.split()[1] for line in users} == {"admin", "default", "worker", "edge", "signon", "operator"}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """A program in Docker's place, which is not here: what it was told, call for call; the folder of the secrets and
    the password in its environment, and its words."""
    noted, program = tmp_path / "noted", tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$SECRETS|$REDISCLI_AUTH|$*" >> {noted}\n'
        'case "$*" in *" cat /etc/"*) cat "$MOUNTED${*##* }";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return lambda: [line.split("|") for line in noted.read_text().splitlines()]


@pytest.mark.parametrize("changed", [False, True])
def test_a_new_image_is_put_into_service_one_by_one(
    changed: bool,
    docker: Callable[[], list[list[str]]],
    secrets: Path,
    compose: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """``roll`` loads the rights first, as the administrator, then renews each part when the one before is well, and all
    the rest in the end. What reads files is started again; nginx, behind which browsers are, only if its files changed.
    """
    services = resolved(compose)["services"]
    monkeypatch.setenv("MOUNTED", str(tmp_path / "mounted"))
    for mounted in services["proxy"]["volumes"]:
        seen = tmp_path / "mounted" / mounted["target"].lstrip("/")
        seen.parent.mkdir(parents=True)
        seen.write_text(Path(mounted["source"]).read_text() + "# of the release before\n" * changed)
    told = subprocess.run([DEPLOY / "roll", secrets], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (told.returncode, told.stderr) == (0, "")
    calls = docker()
    assert {folder for folder, _, _ in calls} == {str(secrets)}
    # In the environment of that one call, never among the words, which everybody on the machine can read.
    password = (secrets / "redis" / "admin").read_text().strip()
    assert [given for _, given, _ in calls] == [password, *[""] * (len(calls) - 1)]
    words = [words.removeprefix(f"compose -f {DEPLOY}/compose.yaml ") for _, _, words in calls]
    assert words[0] == "exec -T -e REDISCLI_AUTH valkey valkey-cli -e --user admin ACL LOAD"
    renewed = [each.rpartition(" ")[2] for each in words[1:] if each.startswith("up -d --no-deps --wait ")]
    assert sorted(renewed) == sorted(OURS)
    assert words[1 + len(renewed)] == "up -d --wait"
    assert words[2 + len(renewed)] == "restart prometheus alertmanager grafana"
    assert {"prometheus", "alertmanager", "grafana"} <= set(services)
    looked = [each for each in words[3 + len(renewed) :] if each.startswith("exec -T proxy cat ")]
    assert words[3 + len(renewed) :] == [*looked, *(["restart proxy"] if changed else [])]
    assert len(looked) == len(services["proxy"]["volumes"])


def test_a_folder_is_the_one_that_was_named(
    docker: Callable[[], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also for somebody whose shell looks for folders elsewhere first: ``cd`` would go there, and say so on its
    output."""
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere" / "secrets").mkdir(parents=True)
    secrets = make_secrets(tmp_path / "here" / "secrets")
    monkeypatch.setenv("MOUNTED", str(tmp_path))
    monkeypatch.setenv("CDPATH", str(tmp_path / "elsewhere"))
    told = subprocess.run(
        [DEPLOY / "roll", "secrets"], cwd=tmp_path / "here", capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert docker()[0][0] == str(secrets)
    assert told.returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(each.relative_to(ROOT)) for each in SCRIPTS])
def test_no_script_goes_where_a_shell_looks_first(script: Path):
    """As above, of each that changes the folder."""
    lines = [line.strip() for line in script.read_text().splitlines()]
    goes = [number for number, line in enumerate(lines) if re.search(r"(^|\$\()cd ", line)]
    assert not goes or "unset CDPATH" in lines[: goes[0]]


def test_a_demonstration_is_one_command(docker: Callable[[], list[list[str]]], compose: str, tmp_path: Path):
    """``demo`` makes all that is mounted, with the key that the simulated provider asks for, and starts its profile."""
    there = tmp_path / "deploy"
    shutil.copytree(DEPLOY, there, ignore=shutil.ignore_patterns("npm", "*secrets"))
    shutil.copy(DEPLOY / "make-secrets", there)
    told = subprocess.run([there / "demo"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (told.returncode, told.stderr) == (0, "")
    [[_, _, words]] = docker()
    options = words.removeprefix(f"compose -f {there}/compose.yaml ").removesuffix(" up -d --build --wait")
    assert options == f"--env-file {there}/demo.env"
    found = resolved(compose, "--env-file", str(DEPLOY / "demo.env"))
    files = [there / Path(each["file"]).relative_to(DEPLOY) for each in found["secrets"].values()]
    assert all(file.stat().st_size for file in files)
    provider = found["services"]["provider"]["command"]
    secret = provider[provider.index("--client-secret") + 1]
    assert (there / "demo-secrets" / "client_secret").read_text() == secret
    assert all(
        f"{port['host_ip']}:{port['published']}" in told.stdout
        for name in ("proxy", "grafana")
        for port in found["services"][name]["ports"]
    )
