"""``deploy/redis/make-users`` and the programs take the same files for the same passwords, or for none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from bridge.settings import SettingsFileError, load_settings
from tests.support.processes import ROOT


def made_of(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "deploy/redis/make-users", folder], capture_output=True, text=True)


@pytest.mark.parametrize(
    "written",
    [
        *(b"hush hush", b"hush hush\n", b"hush hush\r\n", b" hush\r\n\r\n", b"\xef\xbb\xbfhush hush\n"),
        "\u5bc6 \u7801\r\n".encode(),
    ],
)
def test_a_file_is_one_password_for_both(tmp_path: Path, written: bytes) -> None:
    """Whatever an editor has put around it."""
    (tmp_path / "edge").write_bytes(written)
    made = made_of(tmp_path)
    assert made.returncode == 0, made.stderr
    password = load_settings({"BRIDGE_REDIS_PASSWORD_FILE": str(tmp_path / "edge")}).redis.password()
    assert [line.split()[1] for line in made.stdout.splitlines()] == ["default", "edge"]
    assert f" #{hashlib.sha256(password.encode()).hexdigest()} " in made.stdout


@pytest.mark.parametrize(
    "written", [b"", b"\n", b"\xef\xbb\xbf\r\n", b"hush\nhush\n", b"hush\rhush", b"hush\thush", b"hush\x00hush"]
)
def test_what_the_programs_refuse_is_no_password(tmp_path: Path, written: bytes) -> None:
    """Nothing is printed then: half a file would lock the other users out."""
    (tmp_path / "admin").write_text("fine")
    (tmp_path / "edge").write_bytes(written)
    made = made_of(tmp_path)
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.splitlines() == [
        f"make-users: {tmp_path}/edge holds no password, which is one line without control characters"
    ]
    with pytest.raises(SettingsFileError):
        load_settings({"BRIDGE_REDIS_PASSWORD_FILE": str(tmp_path / "edge")})
