"""Make the tarball of the browser's client: ``python deploy/npm/make.py FOLDER``, from the checkout; needs npm.

The code is what the edge serves, put together from the same source; the version is the bridge's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from bridge import __version__  # noqa: E402 - a checkout is not installed
from bridge.edge.scripts import read_package  # noqa: E402


def write(folder: Path) -> None:
    """Lay the package's files into a folder."""
    about = json.loads((HERE / "package.json").read_text(encoding="utf-8")) | {"version": __version__}
    (folder / "package.json").write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    shutil.copy(HERE / "README.md", folder)
    shutil.copy(ROOT / "LICENSE", folder)
    for name, content in read_package().items():
        (folder / name).write_bytes(content)


def main(target: Path) -> None:
    """Pack into ``target``, and say where the tarball is."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        write(Path(place))
        words = ["npm", "pack", "--silent", "--pack-destination", str(target.resolve())]
        told = subprocess.run(words, cwd=place, check=True, capture_output=True, text=True)  # noqa: S603 - our own words
    sys.stdout.write(f"{target / told.stdout.strip()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
