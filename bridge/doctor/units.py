"""The environment of a systemd unit, without systemd: what its files say, drop-ins included, with the secrets that it
is handed as the files that they come from.

So the settings that are judged are those that the service has, whoever judges them and in whatever shell; and a command
can have them too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

FOLDERS: Final = (Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/usr/lib/systemd/system"))
ETC: Final = Path("/etc/exmail-bridge")
"""Where ``exmail-bridge-secrets`` copies from what a unit has in its runtime directory."""
_RUN, _ETC = "/run", "/etc"
_CREDENTIALS: Final = ("LoadCredential", "LoadCredentialEncrypted")


def unit_environ(program: str, folders: Sequence[Path] = FOLDERS, *, etc: Path = ETC) -> dict[str, str] | None:
    """The ``BRIDGE_*`` variables of the unit ``exmail-bridge-<program>``; ``None`` if there is no such unit.

    ``program`` may name an instance (``worker@2``); without one the first is meant, where the unit is a template.

    Raises:
        OSError: its files cannot be read.
    """
    for name in (f"exmail-bridge-{program}", f"exmail-bridge-{program}@1"):
        names = dict.fromkeys((f"{name}.service", f"{re.sub('@.*', '@', name)}.service"))
        places = (folder / each for each in names for folder in folders)
        if (unit := next((path for path in places if path.is_file()), None)) is not None:
            break
    else:
        return None
    drop_ins = {
        path.name: path
        for each in reversed(names)
        for folder in reversed(folders)
        for path in (folder / f"{each}.d").glob("*.conf")
    }
    environ: dict[str, str] = {}
    of_files: dict[str, str] = {}
    credentials: dict[str, str] = {}
    runtime: list[str] = []
    for path in (unit, *(drop_ins[each] for each in sorted(drop_ins))):
        for key, written in _lines(path):
            value = _resolved(written, name)
            if key == "Environment":
                environ = environ | _assignments(value) if value else {}
            elif key == "EnvironmentFile":
                of_files = of_files | variables_in(value) if value else {}
            elif key == "RuntimeDirectory":
                runtime += [f"{_RUN}/{each}/" for each in value.split()]
            elif key in _CREDENTIALS:
                credential, _, source = value.partition(":")
                credentials[credential] = source

    def original(value: str) -> str:
        if value.startswith("%d/"):
            return credentials.get(value[3:], value)
        copied = next((each for each in runtime if value.startswith(each)), None)
        return value if copied is None else str(etc / value.removeprefix(copied))

    # As systemd has it: what stands in a file wins.
    found = environ | of_files
    return {variable: original(value) for variable, value in found.items() if variable.startswith("BRIDGE_")}


def _resolved(value: str, name: str) -> str:
    """Replace systemd's specifiers, as far as they are the same on every host."""
    prefix, _, instance = name.partition("@")
    known = {"i": instance, "I": instance, "p": prefix, "P": prefix, "n": f"{name}.service", "N": name, "t": _RUN}
    known |= {"E": _ETC, "%": "%"}
    return re.sub(r"%([iIpPnNtE%])", lambda match: known[match[1]], value)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the entries of ``[Service]``; a line that ends in a backslash goes on in the next."""
    section = ""
    for line in _text(path).replace("\\\n", " ").splitlines():
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


def variables_in(value: str) -> dict[str, str]:
    """The variables of a file as ``EnvironmentFile=`` names it: one that begins with ``-`` need not be there.

    Raises:
        OSError: it cannot be read.
    """
    path = Path(value.removeprefix("-"))
    if value.startswith("-") and not path.exists():
        return {}
    return dict(_settings(_text(path)))


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of a file of variables, by systemd's rules (``systemd.exec(5)``): a value goes on to the
    end of its line, blanks and quotes within it included; only one that begins with a quote ends where that does."""
    at = 0
    while at < len(text):
        name, there, _ = text[at:].partition("\n")[0].partition("=")
        if there and not name.lstrip().startswith(("#", ";")):
            at += len(name) + 1
            value = ""
            while (piece := _PIECE.match(text, at)) is not None:
                at = piece.end()
                single, double, plain = piece.groups()
                value += single or _ESCAPED.sub(_in_quotes, double or "") or _ESCAPED.sub(_bare, plain or "").rstrip()
            yield name.strip(), value
        at = text.find("\n", at) + 1 or len(text)


_PIECE: Final = re.compile(r"""[ \t]*(?:'([^']*)'?|"((?:[^"\\]|\\.)*)"?|((?:[^\\\n]|\\.)+))""", re.DOTALL)
"""Of a value: in single or in double quotes, or all the rest of the line."""
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def _in_quotes(escaped: re.Match[str]) -> str:
    return "" if escaped[1] == "\n" else escaped[1] if escaped[1] in '"\\`$' else escaped[0]


def _bare(escaped: re.Match[str]) -> str:
    return "" if escaped[1] == "\n" else escaped[1]


def _text(path: Path) -> str:
    """What stands in a file. A comment in another encoding is no reason to lose the rest.

    Raises:
        OSError: it cannot be read.
    """
    return path.read_text("utf-8", errors="replace")
