"""Log records: a field of ours must not have the name of one that logging sets itself, or the call raises."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESERVED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def test_no_field_has_a_reserved_name() -> None:
    """Such a call is rare, on an error path, and itself an error."""
    wrong = []
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                names = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                wrong += [f"{path.relative_to(ROOT)}:{node.value.lineno} {name}" for name in names & RESERVED]
    assert not wrong, "\n".join(wrong)
