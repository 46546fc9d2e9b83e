"""Pages that say which test shows what: the named tests exist, and no line is left without one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Page

PROOFS = (ROOT / "docs" / "invariants.md", ROOT / "docs" / "threats.md")
"""Pages whose tables end each line with the tests that show it."""

_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the test functions of a file; none if there is no such file."""
    if not path.exists():
        return frozenset()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in ast.parse(path.read_text()).body if isinstance(node, functions))
    return frozenset(name for name in names if name.startswith("test_"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_named_test_exists(path: Path) -> None:
    """``file::test`` on any page is a test that runs."""
    named = _NAMED.findall(Page(path).text)
    assert not [f"{file}::{test}" for file, test in named if test not in names_in(ROOT / file)]


@pytest.mark.parametrize("path", PROOFS, ids=lambda path: path.stem)
def test_every_line_names_a_test(path: Path) -> None:
    """A promise or a threat without a test is an opinion."""
    table = next(block for block in Page(path).prose.split("\n\n") if re.match(r"\|.*test.*\|\n", block))
    lines = table.strip().splitlines()[2:]
    assert len(lines) > 5
    assert not [line for line in lines if not _NAMED.search(line.rstrip("| ").rpartition("|")[2])]
