"""What tests do while they are collected: half an hour may pass before they run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
AGES = {"token", "bearer"}
"""What is good for some minutes."""


def at_once(node: ast.AST) -> Iterator[ast.Call]:
    """The calls that are made when a file is imported: those outside the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield child
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            for each in (*child.decorator_list, child.args):
                yield from at_once(each)
        elif not isinstance(child, ast.Lambda):
            yield from at_once(child)


def test_no_token_is_as_old_as_its_file() -> None:
    """On a slow machine it has expired when the first test shows it."""
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        for call in at_once(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call.func, ast.Name) and call.func.id in AGES:
                wrong.append(f"{path.relative_to(TESTS)}:{call.lineno} {call.func.id}")
    assert not wrong, "\n".join(wrong)


def test_what_is_called_at_once_is_found() -> None:
    """In a constant, a decorator, a default; not in a function."""
    text = "A = f'{token()}'\n@mark([bearer()])\ndef test(x=token()):\n    token()\nB = lambda: token()"
    assert [call.lineno for call in at_once(ast.parse(text)) if ast.unparse(call.func) in AGES] == [1, 2, 3]
