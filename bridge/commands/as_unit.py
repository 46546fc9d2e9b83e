"""``exmail-bridge-as``: run a command with the settings and secrets of a service, as the runbook wants it.

A service's Redis user and secrets are in its unit and drop-ins, and its secrets are root's. So root runs
``exmail-bridge-as worker api token``. What a unit has as copies in its runtime directory is read where it was copied
from, because a service need not run for that. People whose commands have a Redis user of their own have no unit, but a
file of variables: ``exmail-bridge-as operator …`` reads ``/etc/exmail-bridge/operator.env``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn

from bridge.commands.unit_file import Unit, UnitError, read_unit, read_variables

_PROGRAM: Final = "exmail-bridge-as"
_ETC: Final = PurePosixPath("/etc/exmail-bridge")
_ROOT: Final = "EXMAIL_BRIDGE_ROOT"
_USAGE: Final = f"""\
usage: {_PROGRAM} WHO COMMAND [ARGUMENT …]

Run `exmail-bridge COMMAND` with the settings and secrets of a service, as root.
WHO: worker (the same as worker@1), worker@2, edge, signon; or NAME of {_ETC}/NAME.env

examples:
  {_PROGRAM} worker api token --anew
  {_PROGRAM} edge config check --for edge --online
  {_PROGRAM} operator why bob@corp.com
"""


def main() -> int:
    """Become the command; return an exit code where there is none to become."""
    who, *words = sys.argv[1:] or [""]
    if who in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        return 0
    if not words or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@._-]*", who):
        sys.stderr.write(_USAGE)
        return 2
    try:
        variables = variables_of(who, Path(os.environ.get(_ROOT, "/")))
    except UnitError as error:
        sys.stderr.write(f"{_PROGRAM}: {error}\n")
        return 1
    return _become(words, variables)


def _become(words: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    # Of the caller's own settings none is mixed in.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")} | dict(variables)
    # -P: what is called bridge in the current folder is another thing.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "bridge", *words], environ)  # noqa: S606 - it has no shell


def variables_of(who: str, root: Path) -> Mapping[str, str]:
    """The settings of ``who`` on the host whose file system begins at ``root``.

    Raises:
        UnitError: nobody is called that, or what is there cannot be understood.
    """
    own = root / _ETC.relative_to("/") / f"{who}.env"
    unit = Unit(read_variables(own), ()) if own.is_file() else read_unit(_service(who), root)
    found = {name: _original(name, value, unit, root) for name, value in unit.environment.items()}
    # Somebody reads at a terminal what a service writes for machines.
    found.pop("BRIDGE_LOG_FORMAT", None)
    if root != Path("/"):
        found.setdefault("BRIDGE_CONFIG", str(root / _ETC.relative_to("/") / "bridge.toml"))
    return found


def _service(who: str) -> str:
    name = who.removesuffix(".service")
    name = name if name.startswith("exmail-bridge-") else f"exmail-bridge-{name}"
    return f"{name}@1" if name == "exmail-bridge-worker" else name


def _original(name: str, value: str, unit: Unit, root: Path) -> str:
    """Where a file is, of which the unit has a copy in its runtime directory."""
    if not name.endswith("_FILE"):
        return value
    path = PurePosixPath(value)
    if path.parent in unit.runtime:
        path = _ETC / path.name
    return str(root / path.relative_to("/")) if path.is_absolute() else value
