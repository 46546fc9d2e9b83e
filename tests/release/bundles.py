"""A bundle made of this checkout for this machine, and a host to install it on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
WITHIN_S = 300
TOOLS = (
    *(
        "sh",
        "env",
        "sed",
        "sha256sum",
        "uname",
        "getconf",
        "sort",
        "head",
        "tr",
        "ls",
        "grep",
        "cat",
        "cmp",
        "cp",
        "mv",
    ),
    *("rm", "ln", "mkdir", "chmod", "readlink", "dirname"),
)
"""What the script needs of a system, besides Python."""
BEFORE = "0.0.9"


@dataclass(frozen=True)
class Told:
    """How a run of ``install.sh`` ended, and its lines."""

    code: int
    lines: list[str]


@dataclass(frozen=True)
class Host:
    """The root of a machine that has the version before installed, and an operator's files in ``/etc``."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "opt" / "exmail-bridge"

    @property
    def current(self) -> str:
        return os.readlink(self.home / "current")

    @property
    def command(self) -> Path:
        return self.root / "usr" / "local" / "bin" / "exmail-bridge"

    def unit(self, name: str) -> Path:
        return self.root / "etc" / "systemd" / "system" / name

    def says(self) -> str:
        """Which version the command on PATH is."""
        told = subprocess.run([self.command, "--version"], capture_output=True, text=True, timeout=WITHIN_S, check=True)
        return told.stdout.strip()


def lay_out_host(root: Path, units: Path) -> Host:
    """The version before: its units are the ones of ``units``, with another description."""
    host = Host(root)
    old = host.home / BEFORE
    (old / "bin").mkdir(parents=True)
    (old / "bin" / "exmail-bridge").write_text(f"#!/bin/sh\necho exmail-bridge {BEFORE}\n")
    (old / "bin" / "exmail-bridge").chmod(0o755)
    kept = old / "share" / "deploy" / "systemd"
    kept.mkdir(parents=True)
    host.unit("").mkdir(parents=True)
    for unit in units.glob("*.service"):
        (kept / unit.name).write_text(f"# {BEFORE}\n{unit.read_text()}")
        shutil.copy(kept / unit.name, host.unit(unit.name))
    (kept / "exmail-bridge-gone.service").write_text("[Service]\n")
    shutil.copy(kept / "exmail-bridge-gone.service", host.unit("exmail-bridge-gone.service"))
    (host.home / "current").symlink_to(BEFORE)
    # What a run that was killed left behind.
    (host.home / ".0.1.0.part" / "bin").mkdir(parents=True)
    return host


def unpack(tar: Path, into: Path) -> Path:
    """Return the bundle's folder, unpacked by an operator whose own files nobody else may read."""
    with tarfile.open(tar) as archive:
        archive.extractall(into, filter="data")
    [folder] = into.iterdir()
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    return folder


def install(bundle: Path, *words: str | Path, path: str = os.defpath, alone: bool = False) -> Told:
    """Run its ``install.sh``; ``alone`` in a network namespace that has no route."""
    words = (*(away() if alone else ()), "sh", bundle / "install.sh", *words)
    told = subprocess.run(
        words, env={"PATH": path}, capture_output=True, text=True, timeout=WITHIN_S, check=False, cwd="/"
    )
    return Told(told.returncode, [*told.stdout.splitlines(), *told.stderr.splitlines()])


def away() -> tuple[str, ...]:
    """The words before a command that is to run without a network."""
    return (shutil.which("unshare") or "/usr/bin/unshare", "-n" if os.geteuid() == 0 else "-rn")


def python() -> str:
    """This machine's Python, not the environment's that the tests run in."""
    return str(getattr(sys, "_base_executable", sys.executable))


def tools_only(folder: Path, **programs: str) -> str:
    """A PATH of one folder: what the script needs, and ``programs`` by name and text."""
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    for name, text in programs.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!{folder / 'sh'}\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)
