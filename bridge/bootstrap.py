"""Make ``.venv`` when a checkout is run on a machine that lacks the dependencies, and go on in it.

Standard library only. What is installed is exactly the hashed lock files. A marker in ``.venv`` says which locks it
holds: none while an install runs, so that an interrupted one starts afresh; other hashes after a pull, so that it is
brought up to date. Environments that others made are used when they have the dependencies, and never changed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_NEEDED: Final = {
    "requirements.lock": (
        *("aiohttp", "hiredis", "httptools", "jwt", "msgspec", "orjson"),
        *("prometheus_client", "redis", "tenacity"),
    ),
    # Nothing that is imported: a server, for a machine that has none.
    "requirements-dev.lock": (),
    "requirements-test.lock": (
        "hypothesis",
        "jsonschema",
        "playwright",
        "pytest",
        "pytest_aiohttp",
        "pytest_asyncio",
        "xdist",
    ),
}
_MARKER: Final = "exmail-bridge-locks.json"
# Not BRIDGE_…: those are settings, and unknown ones are refused.
_ENTERED: Final = "EXMAIL_BRIDGE_IN_VENV"
_PIP_ELSEWHERE: Final = frozenset(("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PYTHONUSERBASE"))
_LAST_LINES: Final = 3
_ADVICE: Final = (
    ("No space left on device", "the disk is full"),
    ("DO NOT MATCH THE HASHES", "a downloaded file is not the one that the lock names"),
    ("No matching distribution", "pip cannot get a package: is there a network, or a package for this machine?"),
    ("NewConnectionError", "pip cannot reach the package index: is there a network?"),
    ("Read-only file system", "the checkout cannot be written to"),
)


class BootstrapRefused(Exception):
    """The environment cannot be made; the text is one line for people."""


def enter_environment(arguments: Sequence[str]) -> str | None:
    """Return ``None`` where the dependencies are importable; else make ``.venv`` and replace this process.

    A returned text says in one line why neither is possible. ``arguments`` are the command line's: ``test``
    and ``dev`` need more than the other commands.
    """
    root = Path(__file__).resolve().parent.parent
    locks = _locks_for(arguments[0] if arguments else "")
    entered = os.environ.pop(_ENTERED, None) is not None
    missing = [name for lock in locks for name in _NEEDED[lock] if find_spec(name) is None]
    try:
        return _enter_unless_there(root, locks, missing, arguments, entered=entered)
    except OSError as error:
        advice = "; whoever made it must let you read it: chmod -R go+rX .venv" if error.errno == errno.EACCES else ""
        return f"cannot use {error.filename or root}: {error.strerror}{advice}"


def _locks_for(command: str) -> tuple[str, ...]:
    """What a command needs: tests need all, and ``dev`` a server where PATH has none; production has its own."""
    if command == "test":
        return tuple(_NEEDED)
    if command == "dev" and not (shutil.which("valkey-server") or shutil.which("redis-server")):
        return ("requirements.lock", "requirements-dev.lock")
    return ("requirements.lock",)


def _enter_unless_there(
    root: Path, locks: Sequence[str], missing: Sequence[str], arguments: Sequence[str], *, entered: bool
) -> str | None:
    if not _is_checkout(root):
        if missing and "requirements-test.lock" not in locks:
            return f"{missing[0]} is not installed; install the package exmail-bridge again"
        return None
    environment = root / ".venv"
    inside = Path(sys.prefix).resolve() == environment.resolve()
    if not missing and (entered or not inside or not _is_stale(environment, root, locks)):
        return None
    if entered:
        return f"{missing[0]} is still missing in {environment}; remove that folder and try again"
    try:
        with _one_at_a_time(root), _readable_by_others():
            _prepare(environment, root, locks)
    except BootstrapRefused as refusal:
        return str(refusal)
    except KeyboardInterrupt:
        return "interrupted; the next run begins again"
    return _enter(environment, root, arguments)


def _is_checkout(root: Path) -> bool:
    return (root / "pyproject.toml").is_file() and (root / "deploy" / "requirements.lock").is_file()


def _prepare(environment: Path, root: Path, locks: Sequence[str]) -> None:
    """Bring ``.venv`` to the state that ``locks`` ask for.

    Raises:
        BootstrapRefused: why that cannot be done here.
    """
    marked = _marked(environment)
    if environment.is_symlink() and (marked == {} or not environment.exists()):
        # Whose folder that is nobody here knows; it is neither filled nor removed.
        raise BootstrapRefused(
            f"cannot write {environment}: it is a link to {os.readlink(environment)}, where no finished environment is;"
            " remove the link"
        )
    if marked is None and environment.exists():
        if not _has(environment, locks):
            raise BootstrapRefused(
                f"{environment} was not made by this program and lacks dependencies:"
                f" install deploy/{locks[-1]} into it, or remove it"
            )
        return
    # An upgrade of the system's Python takes the installed packages with it.
    if marked is not None and not (marked and _has(environment, tuple(marked))):
        _say("an earlier install was interrupted, or its Python is gone; beginning again")
        shutil.rmtree(environment, ignore_errors=True)
        marked = None
    hashes = {lock: _hash(root, lock) for lock in _NEEDED if lock in {*locks, *(marked or {})}}
    if marked is not None and marked == {**marked, **hashes}:
        return
    try:
        if marked is None:
            _create(environment)
        _mark(environment, {})
        _install(environment, root, tuple(hashes))
        _mark(environment, hashes)
    except OSError as error:
        raise BootstrapRefused(f"cannot write {environment}: {error.strerror}") from None


def _create(environment: Path) -> None:
    if find_spec("ensurepip") is None:
        raise BootstrapRefused("Python's venv is incomplete; on Debian and Ubuntu: apt install python3-venv")
    _say(f"making {environment} with Python {sys.version.split()[0]}")
    environment.mkdir()
    _mark(environment, {})
    _run([sys.executable, "-m", "venv", str(environment)], "cannot make .venv")


def _install(environment: Path, root: Path, locks: Sequence[str]) -> None:
    command = [str(_python(environment)), "-m", "pip", "install", "--require-hashes", "--no-input"]
    command.append("--disable-pip-version-check")
    vendor = root / "vendor"
    if vendor.is_dir():
        command += ["--no-index", "--find-links", str(vendor)]
    for lock in locks:
        command += ["-r", str(root / "deploy" / lock)]
    source = "vendor/" if vendor.is_dir() else "the package index"
    _say(f"installing {' and '.join(f'deploy/{lock}' for lock in locks)} from {source}; this takes a minute, once")
    _run(command, "cannot install the dependencies")


def _run(command: Sequence[str], failure: str) -> None:
    # What pip was told elsewhere, by variables or pip.conf, to do with every install: a venv is no place for that.
    variables = {name: value for name, value in os.environ.items() if name not in _PIP_ELSEWHERE} | {"PIP_USER": "0"}
    completed = subprocess.run(  # noqa: S603 - our own list, no shell
        # Whatever the locale is: pip writes UTF-8, or what the terminal is thought to take.
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env=variables,
    )
    if completed.returncode == 0:
        return
    output = f"{completed.stdout}\n{completed.stderr}"
    advice = next((advice for sign, advice in _ADVICE if sign in output), "")
    lines = [line.strip() for line in output.splitlines() if line.strip()][-_LAST_LINES:]
    raise BootstrapRefused(f"{failure}: {advice}{': ' if advice else ''}{' | '.join(lines)}")


def _enter(environment: Path, root: Path, arguments: Sequence[str]) -> str:
    """Replace this process by the same program in its venv; return why that failed."""
    python = str(_python(environment))
    paths = [str(root), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    variables = {**os.environ, _ENTERED: "1", "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    sys.stderr.flush()
    try:
        os.execve(python, [python, "-m", "bridge", *arguments], variables)  # noqa: S606 - the same program, no shell
    except OSError as error:
        why = error.strerror
    return f"cannot run {python}: {why}"


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Hold a lock on the checkout's folder itself: two first runs at once must not install into each other."""
    folder = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another run is preparing .venv; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def _readable_by_others() -> Iterator[None]:
    """Make files that everybody may read who may read the checkout, whatever this user's files are otherwise."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _is_stale(environment: Path, root: Path, locks: Sequence[str]) -> bool:
    marked = _marked(environment)
    return marked is not None and any(marked.get(lock) != _hash(root, lock) for lock in locks)


def _marked(environment: Path) -> dict[str, str] | None:
    """Return the hash of each lock that is installed; empty while an install runs; ``None``: not ours."""
    try:
        marked = json.loads((environment / _MARKER).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return marked if isinstance(marked, dict) else {}


def _mark(environment: Path, hashes: dict[str, str]) -> None:
    (environment / _MARKER).write_text(json.dumps(hashes), "utf-8")


def _hash(root: Path, lock: str) -> str:
    return hashlib.sha256((root / "deploy" / lock).read_bytes()).hexdigest()


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _runs(environment: Path) -> bool:
    """Say whether ``.venv`` still has its Python: an upgrade of the system takes it away."""
    with contextlib.suppress(OSError):
        return subprocess.run([str(_python(environment)), "-c", ""], check=False).returncode == 0  # noqa: S603 - as above
    return False


def _has(environment: Path, locks: Sequence[str]) -> bool:
    names = [name for lock in locks for name in _NEEDED.get(lock, ())]
    code = "import importlib.util,sys;sys.exit(any(importlib.util.find_spec(n) is None for n in sys.argv[1:]))"
    with contextlib.suppress(OSError):
        command = [str(_python(environment)), "-c", code, *names]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - our own list, no shell
    return False


def _say(text: str) -> None:
    print(f"exmail-bridge: {text}", file=sys.stderr, flush=True)  # noqa: T201 - logs are not set up yet
