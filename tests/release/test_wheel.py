"""The wheel: everything that the programs need is in it, and ``dev`` runs from it where there is no checkout."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from bridge import __version__
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


def run(*words: str | Path, cwd: Path) -> str:
    """Run to the end, without this shell's settings; what it says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "PYTHON"))}
    told = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    return told.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a release has it."""
    folder = tmp_path_factory.mktemp("wheel")
    words = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT)
    told = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if told.returncode and "hatchling" in told.stderr and "No matching distribution" in told.stderr:
        pytest.skip("the package index is not reached from here")
    assert told.returncode == 0, told.stderr
    return folder / f"exmail_bridge-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``exmail-bridge`` of an environment that has the wheel, and the dependencies from this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    [packages] = folder.glob("lib/python*/site-packages")
    run(
        *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install"),
        *("-q", "--no-deps", "--no-index", "--disable-pip-version-check", wheel),
        cwd=folder,
    )
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder / "bin" / "exmail-bridge"


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    """Scripts of Redis and of browsers, pages, the mark of types; the version is the one of the package."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("exmail_bridge-")}
    files = subprocess.run(
        ["git", "ls-files", "bridge"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if files.returncode:
        pytest.skip("this is no checkout of git")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    # What the package needs of other folders.
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert packed == set(files.stdout.split()) | set(taken.values())


def test_it_says_its_version(command: Path, tmp_path: Path) -> None:
    """The command is there, and finds its own package, not the checkout."""
    assert run(command, "--version", cwd=tmp_path) == f"exmail-bridge {__version__}\n"
    where = run(command.with_name("python"), "-c", "import bridge; print(bridge.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(command.parents[1])


def test_dev_runs_from_it(command: Path, tmp_path: Path) -> None:
    """Worker, edge, embedded Redis and simulated provider; the page and the client are served."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "PYTHON"))}
    process = subprocess.Popen(
        [command, "dev", "--port", "0"], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"live page at +(\S+)", said)
        assert found, said
        for path, words in (("", "<html"), ("client.js", "ExmailBridge"), ("client.worker.js", "")):
            with urllib.request.urlopen(f"{found[1]}{path}", timeout=PATIENCE_S) as answer:
                assert words in answer.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
