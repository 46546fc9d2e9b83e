"""A first run from a checkout: it makes its environment from hashed locks, or says in one line why it cannot.

The checkouts here are small: this program's own bootstrap, a command line that prints its words, and one wheel
in ``vendor/`` that stands for all dependencies, so that no network is needed.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bridge import bootstrap
from tests.support.waiting import PATIENCE_S

PACKAGE = Path(bootstrap.__file__).parent
MARKER = "exmail-bridge-locks.json"
# -S: no site-packages, so nothing is importable whatever this machine's Python has installed.
INSTALL_S = 600
BARE = [sys.executable, "-S"]


def write_wheel(root, version):
    """Put version ``version`` of the one dependency into ``vendor/``; return its sha256."""
    wheel = root / "vendor" / f"everything-{version}-py3-none-any.whl"
    wheel.parent.mkdir(exist_ok=True)
    info = f"everything-{version}.dist-info"
    files = {f"{name}.py": f"version = '{version}'\n" for names in bootstrap._NEEDED.values() for name in names}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: everything\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def write_locks(root, version):
    line = f"everything=={version} --hash=sha256:{write_wheel(root, version)}\n"
    (root / "deploy").mkdir(exist_ok=True)
    for name in bootstrap._NEEDED:
        (root / "deploy" / name).write_text(line)


def make_checkout(root):
    (root / "bridge").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "bootstrap.py"):
        shutil.copy(PACKAGE / name, root / "bridge")
    (root / "bridge" / "cli.py").write_text(
        "import redis\ndef run_command_line(words):\n    print(redis.version, *words)\n    return 7\n"
    )
    (root / "pyproject.toml").write_text("")
    write_locks(root, "1.0")
    return root


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A checkout after its first run, and what that run said."""
    root = make_checkout(tmp_path_factory.mktemp("first") / "checkout")
    return root, run(root, "worker", "--x")


@pytest.fixture
def checkout(installed, tmp_path):
    """A copy of the installed checkout, to be changed."""
    return Path(shutil.copytree(installed[0], tmp_path / "checkout", symlinks=True))


def run(root, *words, python=BARE, **environ):
    return subprocess.run(
        [*python, "-m", "bridge", *words],
        cwd=root,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
    )


def test_first_run_installs_and_goes_on(installed):
    """The first run says what it does, installs the lock, and runs the command with its words and exit code."""
    root, told = installed
    assert (told.returncode, told.stdout) == (7, "1.0 worker --x\n")
    assert [line.split()[1] for line in told.stderr.splitlines()] == ["making", "installing"]
    assert "vendor/" in told.stderr
    assert list(json.loads((root / ".venv" / MARKER).read_text())) == ["requirements.lock"]


def test_second_run_is_silent(checkout):
    """With the environment there, nothing is said and nothing installed."""
    told = run(checkout, "edge")
    assert (told.returncode, told.stdout, told.stderr) == (7, "1.0 edge\n", "")


def test_tests_need_their_lock_too(checkout):
    """``test`` adds the test lock to an environment that lacks it, and keeps the other."""
    assert run(checkout, "test").returncode == 7
    assert set(json.loads((checkout / ".venv" / MARKER).read_text())) == set(bootstrap._NEEDED)


@pytest.mark.parametrize("server", [None, "valkey-server", "redis-server"])
def test_dev_needs_a_server_and_the_services_do_not(checkout, server):
    """``dev`` installs the embedded server where PATH has none; nothing else does."""
    path = checkout / "path"
    path.mkdir()
    if server is not None:
        (path / server).write_text("#!/bin/sh\n")
        (path / server).chmod(0o755)
    # Another hash than its neighbours': what asks for this lock is seen to install.
    lock = checkout / "deploy" / "requirements-dev.lock"
    lock.write_text(lock.read_text() + "# with a server\n")
    assert run(checkout, "worker", PATH=str(path)).stderr == ""
    told = run(checkout, "dev", PATH=str(path))
    assert (told.returncode, told.stdout) == (7, "1.0 dev\n")
    assert ("requirements-dev.lock" in told.stderr) is (server is None)


@pytest.mark.parametrize("python", [BARE, [".venv/bin/python"]], ids=["outside", "inside"])
def test_a_changed_lock_is_installed(checkout, python):
    """After a pull that changed the lock the environment follows, also when run by its own Python."""
    write_locks(checkout, "2.0")
    told = run(checkout, "edge", python=python)
    assert told.stdout == "2.0 edge\n"
    assert "installing" in told.stderr


@pytest.mark.parametrize("marker", ["{}", "{broken"], ids=["none", "cut"])
def test_an_interrupted_install_begins_again(checkout, marker):
    """An environment that says it is unfinished is thrown away, whatever is in it."""
    (checkout / ".venv" / MARKER).write_text(marker)
    (checkout / ".venv" / "debris").write_text("")
    told = run(checkout, "edge")
    assert told.stdout == "1.0 edge\n"
    assert "beginning again" in told.stderr
    assert not (checkout / ".venv" / "debris").exists()


def test_a_python_that_went_away_is_replaced(checkout):
    """An upgrade of the system leaves ``.venv`` with a dead link: it is made anew."""
    for link in (checkout / ".venv" / "bin").glob("python*"):
        link.unlink()
    (checkout / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    assert run(checkout, "edge").stdout == "1.0 edge\n"


def test_two_first_runs_do_not_collide(tmp_path):
    """Two first runs at once: one installs, the other waits, both run."""
    root = make_checkout(tmp_path / "checkout")
    both = [
        subprocess.Popen([*BARE, "-m", "bridge", "edge"], cwd=root, stdout=-1, stderr=-1, text=True) for _ in range(2)
    ]
    told = [each.communicate(timeout=INSTALL_S) for each in both]
    assert [out for out, _ in told] == ["1.0 edge\n"] * 2
    assert sum("installing" in err for _, err in told) == 1


def test_a_foreign_file_is_not_installed(checkout):
    """A package that is not the one the lock names is refused in one line, and the next run begins again."""
    write_locks(checkout, "2.0")
    wheel = checkout / "vendor" / "everything-2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("evil.py", "")
    told = run(checkout, "edge")
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith(
        "exmail-bridge: cannot install the dependencies: a downloaded file is not the one that the lock names"
    )
    assert json.loads((checkout / ".venv" / MARKER).read_text()) == {}


def test_a_package_that_cannot_be_had_is_one_line(checkout):
    """Without the package (no network, nothing in vendor) one line asks the right question."""
    write_locks(checkout, "2.0")
    (checkout / "vendor" / "everything-2.0-py3-none-any.whl").unlink()
    told = run(checkout, "edge")
    assert told.returncode == 1
    assert "is there a network" in told.stderr.splitlines()[-1]


def test_an_environment_that_others_made_is_left_alone(tmp_path):
    """A ``.venv`` without our marker is somebody's: used if it suffices, else named, never changed."""
    root = make_checkout(tmp_path / "checkout")
    (root / ".venv").mkdir()
    (root / ".venv" / "theirs").write_text("")
    told = run(root, "edge")
    assert told.returncode == 1
    assert "was not made by this program" in told.stderr
    assert [path.name for path in (root / ".venv").iterdir()] == ["theirs"]


def test_missing_venv_package_is_named(tmp_path):
    """Debian without python3-venv: one line says what to install."""
    root = make_checkout(tmp_path / "checkout")
    code = "import runpy,sys; sys.modules['ensurepip'] = None; runpy.run_module('bridge', run_name='__main__')"
    told = subprocess.run([*BARE, "-c", code], cwd=root, capture_output=True, text=True, timeout=PATIENCE_S)
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        "exmail-bridge: Python's venv is incomplete; on Debian and Ubuntu: apt install python3-venv"
    ]
    assert not (root / ".venv").exists()


def test_a_checkout_that_cannot_be_written_is_named(tmp_path):
    """Where ``.venv`` cannot be made, one line gives the system's reason."""
    root = make_checkout(tmp_path / "checkout")
    (root / ".venv").symlink_to("/proc/exmail-bridge")
    told = run(root, "edge")
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith(f"exmail-bridge: cannot write {root}/.venv: ")


def old_pythons():
    """Those of 3.6 to 3.10 that this machine has, on PATH or where pyenv keeps them, if they run."""
    named = {shutil.which(f"python3.{minor}") for minor in range(6, 11)} - {None}
    kept = {str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python3")}
    code = "import sys; sys.exit((3, 6) <= sys.version_info < (3, 11))"
    return [
        path for path in sorted(named | kept) if subprocess.run([path, "-c", code], capture_output=True).returncode == 1
    ]


def test_an_old_python_is_told():
    """A sentence, from 3.6 on, which older distributions have; whichever there is here says so itself."""
    for name in ("__init__.py", "__main__.py"):
        tree = ast.parse((PACKAGE / name).read_text(), feature_version=(3, 6))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        # What is imported before the version is looked at, an old Python has to have.
        assert {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names} <= {"sys"}
        assert not [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    code = "import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_module('bridge', run_name='__main__')"
    runs = [[sys.executable, "-c", code], *([python, "-m", "bridge", "dev"] for python in old_pythons())]
    for words in runs:
        told = subprocess.run(
            words,
            cwd=PACKAGE.parent,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert told.returncode == 1
        assert told.stderr.startswith("exmail-bridge: Python 3.11 or later is needed; this is 3.")
        assert len(told.stderr.splitlines()) == 1


def test_an_installed_package_has_no_bootstrap(tmp_path):
    """Outside a checkout missing dependencies are an installation's fault: named, nothing is made."""
    root = make_checkout(tmp_path / "installed")
    (root / "pyproject.toml").unlink()
    told = run(root, "edge")
    assert told.returncode == 1
    assert told.stderr.endswith("is not installed; install the package exmail-bridge again\n")
    assert not (root / ".venv").exists()


def test_tests_of_an_installed_package_are_refused(tmp_path):
    """``test`` without tests/ is one clear line."""
    shutil.copytree(PACKAGE, tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    told = run(tmp_path, "test", python=[sys.executable])
    assert told.returncode == 2
    assert told.stderr == "exmail-bridge: the tests are in the source checkout, not in the installed package\n"


@pytest.mark.parametrize("where", ["variable", "pip.conf"])
def test_what_pip_does_with_other_installs_is_not_for_this_one(tmp_path, where):
    """``user = true`` is an error in a venv, and a company's Python may have it for everybody."""
    root = make_checkout(tmp_path / "checkout")
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n" if where == "pip.conf" else "")
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_TARGET": str(tmp_path / "elsewhere")}
    done = run(root, "worker", **environ, **({"PIP_USER": "1"} if where == "variable" else {}))
    assert (done.returncode, done.stdout) == (7, "1.0 worker\n"), done.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("half", [False, True], ids=["dangling", "interrupted"])
def test_a_link_without_an_environment_is_one_line(tmp_path, half):
    """Whose folder that is nobody knows; nothing is removed, each time the same."""
    root = make_checkout(tmp_path / "checkout")
    target = tmp_path / "shared"
    if half:
        target.mkdir()
        (target / MARKER).write_text("{}")
    (root / ".venv").symlink_to(target)
    for _ in range(2):
        done = run(root, "worker")
        assert done.returncode != 0
        assert "remove the link" in done.stderr.splitlines()[-1]
        assert len(done.stderr.splitlines()) == 1
    assert target.exists() is half


def test_an_environment_is_everybodys_who_may_read_the_checkout(tmp_path):
    """Made by an operator whose own files nobody may read, it is used by the service's user."""
    root = make_checkout(tmp_path / "checkout")
    told = subprocess.run(
        [*BARE, "-m", "bridge", "worker"], cwd=root, umask=0o077, capture_output=True, text=True, timeout=INSTALL_S
    )
    assert told.returncode == 7
    made = [path for path in (root / ".venv").rglob("*") if not path.is_symlink()]
    wanted = {path: 0o055 if path.is_dir() else 0o044 for path in [root / ".venv", *made]}
    assert not [path for path, bits in wanted.items() if path.stat().st_mode & bits != bits]
    assert (root / ".venv" / MARKER) in wanted


def test_an_environment_that_cannot_be_read_is_one_line(checkout):
    """Whatever the system says of it, nobody gets a traceback."""
    (checkout / ".venv" / MARKER).unlink()
    (checkout / ".venv" / MARKER).mkdir()
    told = run(checkout, "edge", python=[".venv/bin/python"])
    assert (told.returncode, len(told.stderr.splitlines())) == (1, 1)
    assert told.stderr.startswith(f"exmail-bridge: cannot use {checkout}/.venv/{MARKER}: Is a directory")


def test_what_pip_says_is_read_whatever_the_locale_is(checkout):
    """A machine without a locale, a checkout in a folder with another script: still one line."""
    folder = checkout.parent / "\u90ae\u4ef6"
    checkout.rename(folder)
    write_locks(folder, "2.0")
    (folder / "vendor" / "everything-2.0-py3-none-any.whl").unlink()
    told = run(folder, "edge", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert told.stderr.splitlines()[-1].startswith("exmail-bridge: cannot install the dependencies: ")
