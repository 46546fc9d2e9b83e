"""``deploy/systemd/exmail-bridge-secrets``: what systemd runs as root so that a unit has its secrets."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.waiting import PATIENCE_S

SCRIPT = ROOT / "deploy/systemd/exmail-bridge-secrets"


class Host:
    """``etc`` is /etc/exmail-bridge, ``run`` the runtime directory of a unit that names two secrets."""

    def __init__(self, root: Path) -> None:
        self.etc, self.run = root / "etc", root / "run"
        self.etc.mkdir()
        (root / "private").mkdir()
        # As systemd has it for a dynamic user.
        self.run.symlink_to(root / "private")
        for name in ("jwt-secret", "client-secret", "another-unit-s"):
            (self.etc / name).write_text(f"the {name}\n")
        self.environ = {
            "PATH": os.environ["PATH"],
            "BRIDGE_EDGE_JWT_SECRET_FILE": f"{self.run}/jwt-secret",
            "BRIDGE_PROVIDER_CLIENT_SECRET_FILE": f"{self.run}/client-secret",
            "BRIDGE_REDIS_PASSWORD_FILE": "/elsewhere/password",
            "BRIDGE_EDGE_LISTEN": "127.0.0.1:8080",
        }

    def hand_on(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, self.run, self.etc], env=self.environ, capture_output=True, text=True, timeout=PATIENCE_S
        )

    def had(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in sorted(self.run.iterdir())}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_unit_gets_what_it_names(host: Host) -> None:
    """Copies that its user alone may read, of these files and no others; nothing is left over."""
    told = host.hand_on()
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    assert host.had() == {"client-secret": "the client-secret\n", "jwt-secret": "the jwt-secret\n"}
    owner = host.run.stat().st_uid
    for file in host.run.iterdir():
        assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_uid) == (0o400, owner)
    assert sorted(path.name for path in host.run.parent.iterdir()) == ["etc", "private", "run"]


def test_a_reload_gives_it_what_changed(host: Host) -> None:
    """A file is replaced and never rewritten: whoever reads has the one or the other."""
    host.hand_on()
    before = (host.run / "jwt-secret").stat().st_ino
    (host.etc / "jwt-secret").write_text("another\n")
    assert host.hand_on().returncode == 0
    assert host.had()["jwt-secret"] == "another\n"
    assert (host.run / "jwt-secret").stat().st_ino != before


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_text("")])
def test_nothing_is_handed_on_where_one_is_missing(host: Host, spoil) -> None:
    """The unit keeps what it had, and systemd says that the reload failed, and why."""
    host.hand_on()
    (host.etc / "client-secret").write_text("another\n")
    spoil(host.etc / "jwt-secret")
    told = host.hand_on()
    assert told.returncode == 1
    assert told.stderr == (
        f"exmail-bridge-secrets: {host.etc}/jwt-secret is missing or empty; no secret is handed on\n"
    )
    assert host.had() == {"client-secret": "the client-secret\n", "jwt-secret": "the jwt-secret\n"}


def test_a_link_of_the_service_leads_root_nowhere(host: Host) -> None:
    """Its directory is its own: what it puts there is replaced, not followed."""
    victim = host.run.parent / "victim"
    victim.write_text("root's")
    (host.run / "jwt-secret").symlink_to(victim)
    assert host.hand_on().returncode == 0
    assert victim.read_text() == "root's"
    assert not (host.run / "jwt-secret").is_symlink()
