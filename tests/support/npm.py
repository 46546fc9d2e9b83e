"""Packages of others from the npm registry, where one is reached."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S

INSTALL = ("install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline")


def install(npm: str, folder: Path, *packages: str | Path) -> None:
    """Install these beside what the folder's ``package.json`` names; skips the test where no registry is reached."""
    asked = (npm, "view", "publint", "version", "--fetch-retries=0", "--fetch-timeout=10000")
    if subprocess.run(asked, capture_output=True, timeout=PATIENCE_S, check=False).returncode:
        pytest.skip("the npm registry is not reached from here")
    told = subprocess.run(
        (npm, *INSTALL, *packages), cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
