"""Make a release: ``python -m deploy.release``, from the checkout; ``--check`` only says what is wrong, a line each.

``dist/`` then has wheel, source distribution, the browser's client for npm, the bundle of this machine and those that
are asked for, and their checksums.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.bundle.__main__ import BundleRefused, make_bundle, make_distributions, write_sums
from deploy.bundle.lock import Target
from deploy.release.checks import change_faults, contract_faults, text_faults

ROOT: Final = Path(__file__).resolve().parents[2]
WITHIN_S: Final = 120


def make_release(into: Path, targets: list[Target]) -> list[Path]:
    """Make everything, then put it into a folder; return what is there of this release.

    Raises:
        BundleRefused: something cannot be made; nothing is put there.
    """
    with tempfile.TemporaryDirectory() as place:
        made = Path(place)
        make_distributions(made)
        _make_npm(made)
        for target in targets:
            make_bundle(target, made)
        write_sums(made)
        into.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(path, into)) for path in sorted(made.iterdir())]


def _make_npm(into: Path) -> None:
    words = [sys.executable, str(ROOT / "deploy" / "npm" / "make.py"), str(into)]
    told = subprocess.run(words, capture_output=True, text=True, timeout=WITHIN_S, check=False)  # noqa: S603 - our own
    if told.returncode:
        lines = [line for line in told.stderr.splitlines() if line.strip()]
        raise BundleRefused(f"cannot make the npm tarball: {lines[-1] if lines else 'npm said nothing'}")


def main(arguments: list[str]) -> int:
    """Check; make; print where each file is."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--check", action="store_true", help="make nothing")
    parser.add_argument("--python", action="append", help=f"minor of Python for a bundle, again for more ({here})")
    parser.add_argument(
        "--machine", action="append", help=f"machine for a bundle, again for more ({platform.machine()})"
    )
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder (%(default)s)")
    chosen = parser.parse_args(arguments)
    today = datetime.now(UTC).astimezone().date()
    wrong = [*text_faults(ROOT, today=today), *contract_faults(ROOT), *change_faults(ROOT)]
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if wrong or chosen.check:
        return 1 if wrong else 0
    machines, pythons = chosen.machine or [platform.machine()], chosen.python or [here]
    try:
        made = make_release(chosen.into, [Target(python, machine) for machine in machines for python in pythons])
    except BundleRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
