"""How ``dev`` calls the program in what it says to try: as a shell there finds it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge.dev.greeting import program_as_called


def test_from_a_checkout_any_python_will_do(tmp_path: Path) -> None:
    """Whatever the checkout's folder is called: only there is there a package that ``-m`` finds."""
    here = tmp_path / "exmail-bridge"
    (here / "bridge").mkdir(parents=True)
    (here / "bridge" / "__main__.py").touch()
    called = str(here / "bridge" / "__main__.py")
    assert program_as_called([called], here=here) == "python3 -m bridge"
    assert program_as_called([called], here=tmp_path) == f"{sys.executable} -m bridge"


def test_what_is_not_on_the_path_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The console script has its short name where a shell finds that very one."""
    script = tmp_path / "an environment" / "exmail-bridge"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert program_as_called([str(script)], here=tmp_path) == f"'{script}'"
    monkeypatch.setenv("PATH", str(script.parent))
    assert program_as_called([str(script)], here=tmp_path) == "exmail-bridge"
