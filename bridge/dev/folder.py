"""The folder in which ``dev`` keeps everything, and the settings file in it.

One ``dev`` owns the folder at a time. The file has what was set for this run and what had to be generated, so that
``token --dev`` and the like work in another terminal. From an earlier run only the secrets are kept, so that a page
that was signed in then still is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from bridge.settings import DEFAULT_CONFIG, Settings, load_settings
from bridge.settings.setting import Setting
from bridge.settings.table import TABLE
from bridge.supervision import StartRefused

Entries = dict[tuple[str, str], Any]
"""The content of a settings file, by section and key; the section is empty for the top."""

_HEAD: Final = "# Written by `dev` at every start. Of what stands here it takes over only the secrets that it made.\n"
_PROVIDER: Final = "provider"
_OF_PROVIDER: Final = (_PROVIDER, "egress")
_NOT_FOR_SIMULATED: Final = ("BRIDGE_PROVIDER_API_URL", "BRIDGE_PROVIDER_AUTH_URL")
_MADE_UP: Final = "dev-"
"""The beginning of each generated secret, which distinguishes it from one that an operator set."""
KEPT: Final[tuple[tuple[str, str], ...]] = (("edge", "jwt_secret"), (_PROVIDER, "client_secret"))


class DevFolder:
    """Owns ``path`` from ``with`` to its end, or until the process dies.

    Raises (on entering):
        StartRefused: another ``dev`` owns it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_path = path / "bridge.toml"
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "dev.lock").open("a+")
        except OSError as error:
            raise StartRefused(f"cannot write to {self.path}: {error.strerror}") from None
        try:
            # A record lock: the embedded server, a child, does not inherit it.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            where = lock.read().strip()
            lock.close()
            raise StartRefused(
                f"another `dev` runs in this folder{f', at {where}' if where else ''}; stop it first"
            ) from None
        self._lock = lock
        self.announce("")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def announce(self, url: str) -> None:
        """Leave word where this ``dev`` can be found, for a second one in the same folder."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.write(url)
            self._lock.flush()

    def load(self, entries: Entries, environ: Mapping[str, str]) -> Settings:
        """Check these entries and write them down for other commands.

        Raises:
            SettingsError: they, or the environment over them, cannot be used; what was written before stays.
        """
        # Secrets: 0600 from the first byte on, and never half a file.
        handle, name = tempfile.mkstemp(dir=self.path, prefix="bridge.", suffix=".toml")
        draft = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(_HEAD + to_toml(entries))
            settings = load_settings(environ, draft)
            draft.replace(self.settings_path)
        finally:
            draft.unlink(missing_ok=True)
        return settings

    def kept(self) -> Entries:
        """The secrets that an earlier run made up; nothing if there was none."""
        with contextlib.suppress(OSError, ValueError):
            entries = _entries_of(self.settings_path)
            return {key: entries[key] for key in KEPT if str(entries.get(key)).startswith(_MADE_UP)}
        return {}


def given(environ: Mapping[str, str], *, simulated: bool) -> tuple[Entries, dict[str, str]]:
    """What an operator has set: as entries of the settings file, and the environment that ``dev`` goes by.

    ``BRIDGE_CONFIG`` counts if it is set. The file in ``/etc`` belongs to production: only the real provider is
    taken from it. A simulated provider is never replaced by an address that was meant for production.

    Raises:
        StartRefused: the named file cannot be read.
    """
    used = {name: value for name, value in environ.items() if not (simulated and name in _NOT_FOR_SIMULATED)}
    named = used.pop("BRIDGE_CONFIG", "")
    entries: Entries = {}
    try:
        if named:
            entries = _entries_of(Path(named))
        elif not simulated and DEFAULT_CONFIG.exists():
            entries = {key: value for key, value in _entries_of(DEFAULT_CONFIG).items() if key[0] in _OF_PROVIDER}
    except OSError as error:
        raise StartRefused(f"cannot read {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise StartRefused(f"{named or DEFAULT_CONFIG}: {error}") from None
    if simulated:
        for key in ("api_url", "auth_url"):
            entries.pop((_PROVIDER, key), None)
    for setting in TABLE:
        for (section, key), variable in setting.places.items():
            if value := used.get(variable):
                _let_go(entries, setting)
                entries[section, key] = value
            elif setting.secret and (value := used.get(f"{variable}_FILE")):
                _let_go(entries, setting)
                entries[section, f"{key}_file"] = str(Path(value).absolute())
    return entries, used


def _let_go(entries: Entries, setting: Setting) -> None:
    """Take a setting out, whatever it was given by."""
    for section, key in setting.places:
        entries.pop((section, key), None)
        entries.pop((section, f"{key}_file"), None)


def make_secret() -> str:
    """A secret that is long enough for HS256."""
    return _MADE_UP + secrets.token_urlsafe(36)


def is_given(entries: Entries, section: str, key: str) -> bool:
    """Say whether a setting has a value, itself or in a file of its own."""
    return (section, key) in entries or (section, f"{key}_file") in entries


def to_toml(entries: Entries) -> str:
    """Write entries as TOML: texts, numbers and lists of texts."""
    sections: dict[str, list[str]] = {"": []}
    for (section, key), value in entries.items():
        # JSON's text, numbers and lists are TOML's, but for one control character.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        sections.setdefault(section, []).append(f"{_name(key)} = {text}\n")
    top = "".join(sections.pop(""))
    return top + "".join(f"\n[{_name(name)}]\n{''.join(lines)}" for name, lines in sections.items())


def _name(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text, re.ASCII) else json.dumps(text)


def _entries_of(path: Path) -> Entries:
    document = tomllib.loads(path.read_text("utf-8-sig"))
    entries: Entries = {}
    for name, value in document.items():
        for key, each in value.items() if isinstance(value, dict) else [(name, value)]:
            section = name if isinstance(value, dict) else ""
            # Beside another file a relative path would mean another place.
            is_path = key.endswith("_file") and isinstance(each, str)
            entries[section, key] = str((path.parent / each).absolute()) if is_path else each
    return entries
