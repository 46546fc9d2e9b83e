"""What has to be right before a release: each check looks at a tree and yields a line for each thing that is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.bundle.lock import Pin, read_lock
from tests.docs.pages import Page, differences, english_of, pages_in

WITHIN_S: Final = 120
_VERSION: Final = re.compile(r'^__version__ = "(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)"$', re.MULTILINE)
_SECTION: Final = re.compile(r"^## \[?([^\]\n]+?)\]?(?: - (\S+))?$", re.MULTILINE)
# The tarball's version is put in when it is made.
_NO_VERSION: Final = "0.0.0"


def text_faults(root: Path, *, today: date) -> Iterator[str]:
    """Everything that is seen by reading files."""
    yield from version_faults(root)
    yield from changelog_faults(root, today=today)
    yield from language_faults(root)
    yield from lock_faults(root)


def version_of(root: Path) -> str | None:
    """``bridge.__version__``, if there is one that a package can have."""
    found = _VERSION.findall((root / "bridge" / "__init__.py").read_text("utf-8"))
    return found[0] if len(found) == 1 else None


def version_faults(root: Path) -> Iterator[str]:
    """The version stands in ``bridge/__init__.py`` and nowhere else."""
    if version_of(root) is None:
        yield 'bridge/__init__.py: no line __version__ = "1.2.3"'
    project = _pyproject(root)
    if "version" in project["project"] or "version" not in project["project"].get("dynamic", ()):
        yield "pyproject.toml: the version is bridge.__version__, and must be dynamic here"
    if project["tool"]["hatch"]["version"].get("path") != "bridge/__init__.py":
        yield "pyproject.toml: the version is not taken from bridge/__init__.py"
    package = json.loads((root / "deploy" / "npm" / "package.json").read_text("utf-8"))
    if package["version"] != _NO_VERSION:
        yield f"deploy/npm/package.json: the version is put in by make.py, and must be {_NO_VERSION} here"


def changelog_faults(root: Path, *, today: date) -> Iterator[str]:
    """The newest section is this version's, with a date that is not to come; what is unreleased is nothing."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    sections = list(_SECTION.finditer(text))
    names = [section[1] for section in sections]
    version = version_of(root)
    if not names or names[0] != "Unreleased":
        yield "CHANGELOG.md: the first section is not [Unreleased]"
    else:
        end = sections[1].start() if len(sections) > 1 else len(text)
        if text[sections[0].end() : end].strip():
            yield "CHANGELOG.md: [Unreleased] is not empty"
    if version not in names:
        yield f"CHANGELOG.md: no section [{version}]"
        return
    place = names.index(version)
    if place != (1 if names[0] == "Unreleased" else 0):
        yield f"CHANGELOG.md: [{version}] is not the newest section"
    said = sections[place][2]
    try:
        when = date.fromisoformat(said or "")
    except ValueError:
        yield f"CHANGELOG.md: [{version}] has no date such as {today}"
    else:
        if when > today:
            yield f"CHANGELOG.md: [{version}] is of {when}, and today is {today}"
    end = sections[place + 1].start() if place + 1 < len(sections) else len(text)
    if not text[sections[place].end() : end].strip():
        yield f"CHANGELOG.md: [{version}] says nothing"


def language_faults(root: Path) -> Iterator[str]:
    """Each page that there is in Chinese says there what it says in English."""
    for path in pages_in(root):
        if not path.name.endswith(".zh-CN.md"):
            continue
        chinese = Page(path)
        name = path.relative_to(root).as_posix()
        if not english_of(chinese).path.is_file():
            yield f"{name}: there is no such page in English"
            continue
        if differ := differences(english_of(chinese), chinese):
            yield f"{name}: not in step with the page in English: {', '.join(differ)}"


def lock_faults(root: Path) -> Iterator[str]:
    """Each lock answers what ``pyproject.toml`` asks for: pinned, hashed, in range, one version everywhere."""
    project = _pyproject(root)
    groups = project["dependency-groups"]
    needed = project["project"]["dependencies"]
    embedded = project["project"]["optional-dependencies"]["embedded"]
    if groups["dev"] != embedded:
        yield "pyproject.toml: the group dev is not the extra embedded"
    asked = {
        "requirements.lock": needed,
        "requirements-dev.lock": groups["dev"],
        "requirements-build.lock": [*project["build-system"]["requires"], *groups["build"]],
        "requirements-test.lock": [*needed, *groups["test"], *groups["lint"]],
    }
    pinned: dict[str, dict[str, Pin]] = {}
    for name, requirements in asked.items():
        try:
            pins = read_lock(root / "deploy" / name)
        except (OSError, ValueError) as error:
            yield f"deploy/{name}: {error}"
            continue
        pinned[name] = {pin.name: pin for pin in pins}
        for pin in pins:
            if not pin.hashes:
                yield f"deploy/{name}: {pin.name} has no hash"
        for requirement in map(Requirement, requirements):
            found = pinned[name].get(canonicalize_name(requirement.name))
            if found is None:
                yield f"deploy/{name}: {requirement.name} is missing"
            elif not requirement.specifier.contains(found.version, prereleases=True):
                yield f"deploy/{name}: {requirement.name} is {found.version}, and {requirement} is asked for"
    production = pinned.get("requirements.lock", {})
    for name in ("requirements-dev.lock", "requirements-test.lock"):
        for each, pin in pinned.get(name, {}).items():
            if each in production and pin.version != production[each].version:
                yield f"deploy/{name}: {each} is {pin.version}, and {production[each].version} in production"


def contract_faults(root: Path) -> Iterator[str]:
    """Nothing that readers were promised is taken back, and all that they are promised is stored."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.contracts", "--check"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if told.returncode:
        lines = [line for line in told.stderr.splitlines() if line.strip()]
        yield f"tests/samples/contracts/promised.json: {' | '.join(lines[-3:])}"


def change_faults(root: Path) -> Iterator[str]:
    """What is released is what is committed."""
    if not (root / ".git").exists():
        return
    told = subprocess.run(
        ["git", "status", "--porcelain"],  # noqa: S607 - whichever git the maker uses
        cwd=root,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    changed = [line[3:] for line in told.stdout.splitlines()]
    if changed:
        yield f"{changed[0]}{f' and {len(changed) - 1} more' if changed[1:] else ''}: not committed"


def _pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
