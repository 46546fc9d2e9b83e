"""The environment of a systemd unit, without systemd: what its files say, drop-ins included, with the credentials that
it is handed as the files that they come from.

So the settings that are judged are those that the service has, whoever judges them and in whatever shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

FOLDERS: Final = (Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/usr/lib/systemd/system"))
_CREDENTIALS: Final = ("LoadCredential", "LoadCredentialEncrypted")


def unit_environ(program: str, folders: Sequence[Path] = FOLDERS) -> dict[str, str] | None:
    """The ``BRIDGE_*`` variables of the unit ``exmail-bridge-<program>.service``; ``None`` if there is no such unit.

    Raises:
        OSError: its files cannot be read.
    """
    name = f"exmail-bridge-{program}.service"
    unit = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if unit is None:
        return None
    drop_ins = {path.name: path for folder in reversed(folders) for path in (folder / f"{name}.d").glob("*.conf")}
    environ: dict[str, str] = {}
    credentials: dict[str, str] = {}
    for path in (unit, *(drop_ins[each] for each in sorted(drop_ins))):
        for key, value in _lines(path):
            if key == "Environment":
                environ = environ | _assignments(value) if value else {}
            elif key == "EnvironmentFile":
                environ |= _of_file(value)
            elif key in _CREDENTIALS:
                credential, _, source = value.partition(":")
                credentials[credential] = source
    return {
        variable: credentials.get(value[3:], value) if value.startswith("%d/") else value
        for variable, value in environ.items()
        if variable.startswith("BRIDGE_")
    }


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the entries of ``[Service]``; a line that ends in a backslash goes on in the next."""
    section = ""
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text
        elif section == "[Service]" and not text.startswith(("#", ";")):
            key, there, value = text.partition("=")
            if there:
                yield key.strip(), value.strip()


def _assignments(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        # An open quote; systemd ignores such a line with a warning.
        return {}
    pairs = (word.partition("=") for word in words)
    return {name: value for name, there, value in pairs if there}


def _of_file(value: str) -> dict[str, str]:
    path = Path(value.removeprefix("-"))
    if value.startswith("-") and not path.exists():
        return {}
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    return _assignments(" ".join(line for line in lines if line and not line.startswith(("#", ";"))))
