"""A version of the bridge that can be measured: a folder with its code, whoever drives it from outside.

What is compared is put into folders of its own before anything starts, so that nobody who edits the working tree
meanwhile changes what is measured.
"""

from __future__ import annotations

import compileall
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
_NEEDED = ("bridge", "docs/settings.md")


class CannotMeasure(Exception):
    """There is nothing to measure, or nothing to measure with; the text is one line for people."""


@dataclass(frozen=True, slots=True)
class Product:
    """``folder`` holds ``bridge/`` and ``docs/settings.md``; ``name`` is what tables call it."""

    folder: Path = ROOT
    name: str = "the working tree"

    def knows(self, variable: str) -> bool:
        """Whether it has this setting. Programs refuse to start with one that they do not know."""
        return f"`{variable}`" in (self.folder / "docs/settings.md").read_text(encoding="utf-8")

    def make_ready(self) -> None:
        """Compile it, so that it does not pay for its first start."""
        compileall.compile_dir(self.folder / "bridge", quiet=2)


HERE = Product()


@contextmanager
def two_products(before: str, after: str | None) -> Iterator[tuple[Product, Product]]:
    """Two commits, each in a temporary folder; without ``after`` the working tree as it stands is the second.

    Raises:
        CannotMeasure: no such commit, one without a bridge, or no git.
    """
    first = commit_of(before)
    second = None if after is None else commit_of(after)
    with TemporaryDirectory(prefix="exmail-bridge-compared-") as folder:
        products = []
        for side, commit in (("before", first), ("after", second)):
            into = Path(folder) / side
            into.mkdir()
            if commit is None:
                _copy(into)
                name = f"{commit_of('HEAD')[:10]}{' and what is not committed' if is_dirty() else ''}"
            else:
                _check_out(commit, into)
                name = commit[:10]
            if not (into / "bridge/__main__.py").exists() or not (into / "docs/settings.md").exists():
                raise CannotMeasure(f"{name} has no bridge/ with docs/settings.md: it cannot be started from outside")
            products.append(Product(into, name))
        yield products[0], products[1]


def commit_of(rev: str) -> str:
    """The whole hash of what ``rev`` names.

    Raises:
        CannotMeasure: it names no commit of this repository.
    """
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CannotMeasure(f"{rev!r} is no commit of {ROOT}{': ' + said[-1] if said else ''}") from None


def is_dirty() -> bool:
    """Whether what would be measured of the working tree differs from its commit."""
    return bool(_git("status", "--porcelain", "--", *_NEEDED).strip())


def _check_out(commit: str, into: Path) -> None:
    # Not `git worktree`: a run that is killed would leave its entry in the repository.
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as archive:
        archive.extractall(into, filter="data")


def _copy(into: Path) -> None:
    shutil.copytree(ROOT / "bridge", into / "bridge")
    (into / "docs").mkdir()
    shutil.copy(ROOT / "docs/settings.md", into / "docs/settings.md")


def _git(*words: str) -> bytes:
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, check=True, timeout=120, stdin=subprocess.DEVNULL
        ).stdout
    except FileNotFoundError:
        raise CannotMeasure("git is missing: apt install git") from None
