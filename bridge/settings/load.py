"""Put the settings together: defaults, then the file, then the environment.

Names that are not in the table are refused, because a misspelt setting that is silently ignored is found in
production; the exceptions are what Kubernetes and Docker inject for a service that is called ``bridge-…``.
All problems are collected before anything is raised.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from bridge.settings.errors import SettingsError, SettingsFileError
from bridge.settings.redis import cut_url
from bridge.settings.secret import Secret
from bridge.settings.setting import Setting, settings_in
from bridge.settings.table import GROUPS, TABLE, Settings
from bridge.settings.values import FileError, hosts, proxy_url

DEFAULT_CONFIG: Final = Path("/etc/exmail-bridge/bridge.toml")

_BY_VARIABLE: Final = {variable: setting for setting in TABLE for variable in setting.variables}
_BY_KEY: Final = {place: setting for setting in TABLE for place in setting.places}
_CONFIG: Final = "BRIDGE_CONFIG"
_PROXY: Final = "BRIDGE_EGRESS_PROXY"
_NO_PROXY: Final = "BRIDGE_EGRESS_NO_PROXY"
_INJECTED: Final = re.compile(r"BRIDGE_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_.*)")
_INJECTED_PORT: Final = re.compile(r"BRIDGE_(.+_)?PORT")
_INJECTED_PORT_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that was set: text, or the file with it; ``variable``: the name that it was set by."""

    value: str | Path
    source: str
    variable: str

    def read(self) -> str:
        return self.value.read_text("utf-8") if isinstance(self.value, Path) else self.value


def load_settings(environ: Mapping[str, str], config_path: Path | None = None, *, tried: str = "") -> Settings:
    """Read and check all settings.

    ``config_path`` must exist if given, so must ``BRIDGE_CONFIG``; else :data:`DEFAULT_CONFIG` is read if it is
    there. What only one command needs is checked by :meth:`Settings.require_for`. ``tried``: how the variables of the
    secrets begin that are read here; whoever uses another one learns then whether it can be.

    Raises:
        SettingsFileError: files cannot be used, and nothing else is wrong.
        SettingsError: something else is wrong; one line for each fault.
    """
    problems: list[str] = []
    of_files: list[str] = []
    named = config_path or (Path(environ[_CONFIG]) if environ.get(_CONFIG) else None)
    given: dict[str, _Given] = {}
    if named is not None or _may_be_there(DEFAULT_CONFIG):
        given |= _from_file(named or DEFAULT_CONFIG, problems, of_files)
    given |= _from_environment(environ, problems)
    unusable_proxy = _take_proxy_of_machine(given, environ)
    _take_user_out_of_url(given)
    groups = {name: group(**_read_group(group, given, problems, of_files, tried)) for name, group in GROUPS.items()}
    top = _read_group(Settings, given, problems, of_files, tried)
    if problems:
        raise SettingsError([*problems, *of_files])
    if of_files:
        raise SettingsFileError(of_files)
    sources = {setting.variable: _source(setting, given) for setting in TABLE}
    texts = {setting.variable: _shown(setting, given) for setting in TABLE}
    return Settings(sources=sources, texts=texts, unusable_proxy=unusable_proxy, **groups, **top)


def _may_be_there(path: Path) -> bool:
    """Whether the file is there, or it cannot be told, as in a folder that is closed to us: reading it says why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, value in sorted(environ.items()):
        # Empty counts as not set: compose files and unit files cannot leave a variable out.
        if not name.startswith("BRIDGE_") or not value:
            continue
        setting = _BY_VARIABLE.get(name)
        of_file = _BY_VARIABLE.get(name.removesuffix("_FILE")) if name.endswith("_FILE") else None
        if setting is not None:
            _give_once(given, setting, _Given(value, "environment", name), name, problems)
        elif of_file is not None:
            written = name.removesuffix("_FILE")
            _give_file(given, of_file, _Given(Path(value), "environment", written), name, problems)
        elif name != _CONFIG and not name.startswith("BRIDGE_TEST_") and not _injected(name, value):
            problems.append(f"{name} is not a setting{_nearest(name, list(_BY_VARIABLE))}")
    return given


def _from_file(path: Path, problems: list[str], of_files: list[str]) -> dict[str, _Given]:
    try:
        # With or without a byte order mark.
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        of_files.append(f"cannot read {path}: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # TOMLDecodeError names a place and a character, never a line of the file.
        why = error if isinstance(error, tomllib.TOMLDecodeError) else "not UTF-8 text"
        problems.append(f"{path}: {why}")
        return {}
    given: dict[str, _Given] = {}
    for name, value in document.items():
        entries = value.items() if isinstance(value, dict) else [(name, value)]
        section = name if isinstance(value, dict) else ""
        for key, each in entries:
            _from_entry(given, path, section, key, each, problems)
    return given


def _from_entry(given: dict[str, _Given], path: Path, section: str, key: str, value: Any, problems: list[str]) -> None:
    where = f"[{section}] {key}" if section else key
    setting = _BY_KEY.get((section, key))
    of_file = _BY_KEY.get((section, key.removesuffix("_file"))) if key.endswith("_file") else None
    if setting is not None:
        separator = "\n" if setting.secret else ","
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = separator.join(value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            problems.append(f"{path}: {where} must be text, a number or a list of texts")
            return
        written = setting.places[section, key]
        _give_once(given, setting, _Given(str(value), str(path), written), f"{path}: {where}", problems)
    elif of_file is not None and isinstance(value, str):
        written = of_file.places[section, key.removesuffix("_file")]
        _give_file(given, of_file, _Given(path.parent / value, str(path), written), f"{path}: {where}", problems)
    else:
        names = [f"[{each.section}] {each.key}" if each.section else each.key for each in TABLE]
        problems.append(f"{path}: {where} is not a setting{_nearest(where, names)}")


def _give_file(given: dict[str, _Given], setting: Setting, value: _Given, where: str, problems: list[str]) -> None:
    if not setting.secret:
        problems.append(f"{where}: only secrets are read from files; set {setting.variable}")
    else:
        _give_once(given, setting, replace(value, source=f"{value.source}, from {value.value}"), where, problems)


def _give_once(given: dict[str, _Given], setting: Setting, value: _Given, where: str, problems: list[str]) -> None:
    """Refuse a secret that is set in two ways, because neither takes precedence."""
    if setting.variable in given:
        problems.append(f"{where}: {given[setting.variable].variable} is set beside it; set one of them")
    else:
        given[setting.variable] = value


def _take_proxy_of_machine(given: dict[str, _Given], environ: Mapping[str, str]) -> str:
    """Use the machine's own proxy and exceptions, each unless it is set here.

    Returns why that proxy cannot be used, which matters only to programs that need it; empty if it can be used, or if
    there is none.
    """
    for name in ("no_proxy", "NO_PROXY"):
        if value := environ.get(name, "").strip():
            # What is on this machine is never behind its proxy, whatever else is not.
            value = f"{value},{_BY_VARIABLE[_NO_PROXY].default}"
            given.setdefault(_NO_PROXY, _Given(value, f"environment, {name}", _NO_PROXY))
    if _NO_PROXY in given and "*" in hosts(given[_NO_PROXY].read()):
        return ""
    for name in ("https_proxy", "HTTPS_PROXY"):
        if (value := environ.get(name, "").strip()) and _PROXY not in given:
            try:
                given[_PROXY] = _Given(proxy_url(value), f"environment, {name}", _PROXY)
            except ValueError as error:
                return f"{name}: {error}; {_PROXY} is used in its place, {_NO_PROXY}=* leaves it unused"
    return ""


def _take_user_out_of_url(given: dict[str, _Given]) -> None:
    """Move user and password from the Redis URL to their own settings, so that the URL is no secret."""
    url = given.get("BRIDGE_REDIS_URL")
    if url is None:
        return
    parts = cut_url(url.read())
    if not parts.user:
        return
    name, _, password = parts.user.partition(":")
    for variable, part in (("BRIDGE_REDIS_USERNAME", name), ("BRIDGE_REDIS_PASSWORD", password)):
        if part:
            given.setdefault(variable, _Given(unquote(part), f"{url.source}, in BRIDGE_REDIS_URL", variable))
    query = f"?{parts.query}" if parts.query else ""
    given["BRIDGE_REDIS_URL"] = replace(url, value=f"{parts.scheme}://{parts.hosts}{parts.path}{query}")


def _read_group(
    group: type[Any], given: Mapping[str, _Given], problems: list[str], of_files: list[str], tried: str
) -> dict[str, Any]:
    return {
        name: _read(setting, given.get(setting.variable), problems, of_files, tried)
        for name, setting in settings_in(group)
    }


def _read(setting: Setting, given: _Given | None, problems: list[str], of_files: list[str], tried: str) -> Any:
    variable = given.variable if given is not None else setting.variable
    if setting.secret:
        secret = Secret(variable, setting.read, given.value if given is not None else None)
        if secret and setting.variable.startswith(tried):
            try:
                secret()
            except SettingsFileError as error:
                of_files.extend(error.problems)
            except SettingsError as error:
                problems.extend(error.problems)
        return secret
    text = given.read() if given is not None else setting.default
    try:
        return setting.read(text)
    except ValueError as error:
        quote = f", not {text!r}" if setting.quoted and text.strip() else ""
        (of_files if isinstance(error, FileError) else problems).append(f"{variable}: {error}{quote}")
        return None


def _source(setting: Setting, given: Mapping[str, _Given]) -> str:
    there = given.get(setting.variable)
    if there is None:
        return "default"
    return there.source if there.variable == setting.variable else f"{there.source}, as {there.variable}"


def _shown(setting: Setting, given: Mapping[str, _Given]) -> str:
    there = given.get(setting.variable)
    if setting.secret:
        if there is not None and setting.shown is not None and isinstance(there.value, str):
            return setting.shown(there.value)
        return "(hidden)" if there is not None else ""
    return there.read().strip() if there is not None else setting.default


def _injected(name: str, value: str) -> bool:
    """Say whether Kubernetes or a Docker link made this variable for a service named like us."""
    if _INJECTED.fullmatch(name):
        return True
    # BRIDGE_EDGE_PORT=8080 was written by a person and is refused; what is injected is always a URL.
    return bool(_INJECTED_PORT.fullmatch(name) and _INJECTED_PORT_VALUE.fullmatch(value))


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else "; `config reference` lists them all"
