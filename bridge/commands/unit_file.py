"""The environment that systemd would give a unit, read from its file and drop-ins.

Read here and not asked of systemd, whose answer leaves out ``EnvironmentFile=``, and which is not there where a unit is
only being laid out. What is understood is what the units of ``deploy/systemd`` and ``systemctl edit`` use.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

FOLDERS: Final = (
    *("etc/systemd/system", "run/systemd/system"),
    *("usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"),
)
"""Where units are, below the root; earlier ones win."""
_RUN: Final = PurePosixPath("/run")


class UnitError(Exception):
    """There is no such unit, or it cannot be understood; one line for people."""


@dataclass(frozen=True, slots=True)
class Unit:
    """``environment`` as the unit's program gets it; ``runtime`` are its runtime directories."""

    environment: Mapping[str, str]
    runtime: tuple[PurePosixPath, ...]


def read_unit(name: str, root: Path) -> Unit:
    """Read the service ``name``, such as ``exmail-bridge-worker@1``, of the host whose file system begins at ``root``.

    Raises:
        UnitError: there is none, or one of its lines cannot be understood.
    """
    files = list(_files(name, root))
    environment: dict[str, str] = {}
    of_files: dict[str, str] = {}
    runtime: list[PurePosixPath] = []
    for file in files:
        for key, value in _service_lines(file):
            if key == "Environment":
                environment = environment | _assignments(_resolved(value, name), file) if value else {}
            elif key == "EnvironmentFile":
                of_files = of_files | _of_file(_resolved(value, name), root) if value else {}
            elif key == "RuntimeDirectory":
                runtime += [_RUN / part for part in _resolved(value, name).split()]
    # As systemd has it: what stands in a file wins.
    return Unit(environment | of_files, tuple(runtime))


def read_variables(file: Path) -> dict[str, str]:
    """Read a file of ``NAME=value`` lines, as ``EnvironmentFile=`` takes it.

    Raises:
        UnitError: it cannot be read, or a line is none.
    """
    found: dict[str, str] = {}
    for line in _lines(file):
        found |= _assignments(line, file)
    return found


def _files(name: str, root: Path) -> Iterator[Path]:
    """The unit's file, then its drop-ins in the order of their names."""
    template = re.sub(r"@.*", "@", name)
    names = dict.fromkeys((name, template))
    places = [root / folder for folder in FOLDERS]
    file = next((file for each in names for place in places if (file := place / f"{each}.service").is_file()), None)
    if file is None:
        raise UnitError(f"there is no unit {name}.service, nor {template}.service" if "@" in name else f"no {name}")
    yield file
    prefixes = [name[: place + 1] for place, sign in enumerate(name) if sign == "-"]
    drop_ins: dict[str, Path] = {}
    # Later ones replace earlier ones of the same name: what is meant for more units by what is meant for fewer.
    for each in (*prefixes, template, name):
        for place in reversed(places):
            for found in sorted((place / f"{each}.service.d").glob("*.conf")):
                drop_ins[found.name] = found
    yield from (drop_ins[each] for each in sorted(drop_ins))


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnitError(f"{file}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    joined = re.sub(r"\\\n[ \t]*", " ", text)
    return [line for line in map(str.strip, joined.splitlines()) if line and line[0] not in "#;"]


def _service_lines(file: Path) -> Iterator[tuple[str, str]]:
    section = ""
    for line in _lines(file):
        if line.startswith("["):
            section = line
        elif section == "[Service]":
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _resolved(value: str, name: str) -> str:
    """Replace systemd's specifiers, as far as they are known without it."""
    prefix, _, instance = name.partition("@")
    known = {"i": instance, "I": instance, "p": prefix, "P": prefix, "n": f"{name}.service", "N": name}
    known |= {"t": str(_RUN), "%": "%", "j": prefix.rpartition("-")[2]}

    def put(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise UnitError(f"{name}: %{match[1]} in {value!r} is known to systemd alone")
        return known[match[1]]

    return re.sub(r"%(.)", put, value)


def _assignments(text: str, file: Path) -> dict[str, str]:
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError as error:
        raise UnitError(f"{file}: {error} in a line of variables") from None
    if wrong := next((name for name, equals, _ in pairs if not equals or not name.isidentifier()), None):
        raise UnitError(f"{file}: {wrong!r} assigns nothing")
    return {name: value for name, _, value in pairs}


def _of_file(value: str, root: Path) -> dict[str, str]:
    file = root / value.removeprefix("-").lstrip("/")
    return {} if value.startswith("-") and not file.exists() else read_variables(file)
