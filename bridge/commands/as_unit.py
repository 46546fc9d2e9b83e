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
from pathlib import Path
from typing import Final, NoReturn

from bridge.doctor.units import ETC, FOLDERS, unit_environ, variables_in

_PROGRAM: Final = "exmail-bridge-as"
_ROOT: Final = "EXMAIL_BRIDGE_ROOT"
_USAGE: Final = f"""\
usage: {_PROGRAM} WHO COMMAND [ARGUMENT …]

Run `exmail-bridge COMMAND` with the settings and secrets of a service, as root.
WHO: worker (the same as worker@1), worker@2, edge, signon; or NAME of {ETC}/NAME.env

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
    root = Path(os.environ.get(_ROOT, "/"))
    try:
        variables = variables_of(who, root)
    except OSError as error:
        sys.stderr.write(f"{_PROGRAM}: {error.filename}: {error.strerror}\n")
        return 1
    if variables is None:
        sys.stderr.write(f"{_PROGRAM}: there is neither a unit exmail-bridge-{who} nor {below(root, ETC)}/{who}.env\n")
        return 1
    return _become(words, variables)


def _become(words: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    # Of the caller's own settings none is mixed in.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")} | dict(variables)
    # -P: what is called bridge in the current folder is another thing.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "bridge", *words], environ)  # noqa: S606 - it has no shell


def variables_of(who: str, root: Path) -> Mapping[str, str] | None:
    """The settings of ``who`` on the host whose file system begins at ``root``; ``None``: nobody is called that.

    Raises:
        OSError: a file cannot be read.
    """
    etc = below(root, ETC)
    own = etc / f"{who}.env"
    if own.is_file():
        found = variables_in(str(own))
    elif (of_unit := unit_environ(who, [below(root, each) for each in FOLDERS], etc=etc)) is not None:
        found = of_unit
    else:
        return None
    # Somebody reads at a terminal what a service writes for machines.
    found.pop("BRIDGE_LOG_FORMAT", None)
    if root != Path("/"):
        found.setdefault("BRIDGE_CONFIG", str(etc / "bridge.toml"))
    return found


def below(root: Path, path: Path) -> Path:
    """Where ``path`` is on a host whose file system begins at ``root``."""
    return root / path.relative_to("/")
