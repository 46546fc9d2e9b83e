"""``docs/provider.md`` under ``mypy --strict``, as a user's program: the package is typed, its examples are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import pytest

from tests.docs.pages import ROOT, Page

PROGRAM, *EXAMPLES = [block.text for block in Page(ROOT / "docs" / "provider.md").blocks if block.language == "python"]


def test_the_package_says_that_it_is_typed() -> None:
    """Without this file a user's mypy sees ``Any`` (PEP 561); what is built takes everything below the package."""
    assert (ROOT / "bridge" / "py.typed").exists()
    assert 'packages = ["bridge"]' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.skipif(find_spec("mypy") is None, reason="needs mypy, of the group lint")
def test_every_example_is_typed(tmp_path: Path) -> None:
    """Each in the order of the page, and what it says is wrong is."""
    wrong = "await client.user_modify('a@x', opentype=2)\nawait client.user_modify('a@x', gender=5)\n"
    body = "".join(indent(example, "    ") + "\n" for example in [*EXAMPLES, wrong])
    page = tmp_path / "page.py"
    page.write_text(
        f"{PROGRAM.rpartition('asyncio.run')[0]}\n\nasync def page(client: ProviderClient) -> None:\n{body}"
    )
    options = (
        "--strict",
        "--ignore-missing-imports",
        "--follow-imports=silent",
        "--config-file=",
        "--no-error-summary",
    )
    told = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--cache-dir", str(ROOT / ".mypy_cache" / "page"), str(page)],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = len(page.read_text().splitlines())
    faults = [re.sub(r"^\S*page\.py:", "", line) for line in told.stdout.splitlines() if ": error:" in line]
    assert [int(fault.split(":")[0]) - lines for fault in faults] == [-2, -1], told.stdout + told.stderr
