"""Make a bundle for machines without a network: ``python -m deploy.bundle --into dist``, from the checkout.

It has all wheels of the locks by their hashes, our own wheel, what installs them, licences, a bill of materials, units,
settings of the neighbours, and the pages. Made twice from one commit it has the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.bundle.lock import Target, read_lock, write_requirements
from deploy.bundle.packed import Wheel
from deploy.bundle.sbom import write_sbom

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
WITHIN_S: Final = 900
# Folder in the bundle, and the lock of what lies in it.
FOLDERS: Final = {
    "wheels": "requirements.lock",
    "embedded": "requirements-dev.lock",
    "tools": "requirements-build.lock",
}
# The oldest first: what runs on an old system runs on a new one, too.
GLIBC: Final = range(5, 29)
SHARED: Final = (
    *("README.md", "README.zh-CN.md", "CHANGELOG.md", "LICENSE", "dashboards", "docs"),
    *("deploy/systemd", "deploy/redis", "deploy/prometheus", "deploy/proxy", "deploy/grafana"),
)


class BundleRefused(Exception):
    """The bundle cannot be made; the text is one line for people."""


def make_bundle(target: Target, into: Path) -> Path:
    """Write the bundle's tar into a folder; return its path.

    Raises:
        BundleRefused: a package cannot be had for the target, or the wheel cannot be made.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folders = _download(target, Path(place, "downloads"), FOLDERS)
        product = _build(Path(place), folders["tools"], "wheel")
        name = f"exmail-bridge-{product.version}-{target.label}"
        top = Path(place, name)
        _lay_out(top, target, folders, product)
        return _pack(top, into / f"{name}.tar")


def make_distributions(into: Path) -> None:
    """Write our wheel and source distribution into a folder.

    Raises:
        BundleRefused: they cannot be made.
    """
    with tempfile.TemporaryDirectory() as place:
        target = Target(f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine())
        tools = _download(target, Path(place, "downloads"), {"tools": FOLDERS["tools"]})["tools"]
        _build(Path(place), tools, "wheel", "sdist")
        for path in Path(place, "made").iterdir():
            shutil.copy(path, into)


def _build(place: Path, tools: Iterable[Wheel], *kinds: str) -> Wheel:
    """Make our own package with the hashed build backend, into ``made``; return the wheel."""
    backend, made = place / "backend", place / "made"
    wheels = [str(wheel.path) for wheel in tools if wheel.name != "pip"]
    _run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "-q"),
            *("--no-index", "--no-deps", "--no-compile", "--target", str(backend), *wheels),
        ],
        "build backend",
    )
    targets = [word for kind in kinds for word in ("-t", kind)]
    _run([sys.executable, "-m", "hatchling", "build", "-d", str(made), *targets], "wheel", PYTHONPATH=str(backend))
    [path] = made.glob("*.whl")
    return Wheel(path)


def _download(target: Target, into: Path, locks: Mapping[str, str]) -> dict[str, list[Wheel]]:
    """Fetch the wheels of locks by folder; only those that the locks have the hash of."""
    pins = {
        folder: [pin for pin in read_lock(ROOT / "deploy" / lock) if target.takes(pin.marker)]
        for folder, lock in locks.items()
    }
    into.mkdir()
    listed = into / "requirements.txt"
    listed.write_text(write_requirements({pin.name: pin for each in pins.values() for pin in each}.values()))
    platforms = [f"manylinux_2_{minor}_{target.machine}" for minor in GLIBC]
    _run(
        [
            *(sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-input"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(listed), "-d", str(into)),
            *("--python-version", target.python, "--implementation", "cp"),
            *(word for platform in platforms for word in ("--platform", platform)),
            *(
                word
                for legacy in ("1", "2010", "2014")
                for word in ("--platform", f"manylinux{legacy}_{target.machine}")
            ),
        ],
        f"packages for {target.label}",
    )
    wheels = {wheel.name: wheel for wheel in map(Wheel, into.glob("*.whl"))}
    # What production has anyway need not lie there twice.
    common = {pin.name for pin in pins.get("wheels", ())}
    return {
        folder: [wheels[pin.name] for pin in each if folder != "embedded" or pin.name not in common]
        for folder, each in pins.items()
    }


def _lay_out(top: Path, target: Target, folders: dict[str, list[Wheel]], product: Wheel) -> None:
    carried = [wheel for folder in ("embedded", "tools") for wheel in folders[folder]]
    for folder, wheels in ({**folders, "wheels": [*folders["wheels"], product]}).items():
        (top / folder).mkdir(parents=True)
        for wheel in wheels:
            shutil.copy(wheel.path, top / folder)
            for name, text in wheel.licence_texts().items():
                place = top / "licences" / f"{wheel.name}-{wheel.version}"
                place.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(text)
    glibc = max(wheel.glibc for wheel in folders["wheels"])
    about = {"version": product.version, "machine": target.machine, "python": target.python, "glibc": f"2.{glibc}"}
    (top / "BUNDLE").write_text("".join(f"{name}={value}\n" for name, value in about.items()))
    shutil.copy(ROOT / "deploy" / "requirements.lock", top)
    shutil.copy(HERE / "install.sh", top)
    for name in SHARED:
        _copy(ROOT / name, top / "share" / name)
    bill = write_sbom(
        product,
        folders["wheels"],
        carried,
        target=target,
        made=_made_at(),
    )
    (top / "sbom.cdx.json").write_text(bill, "utf-8")
    write_sums(top)


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files in a folder and below, as ``sha256sum -c`` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        shutil.copy(source, target)


def _pack(top: Path, tar: Path) -> Path:
    made = int(_made_at().timestamp())

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        # Whose machine made it, and when, is no part of it.
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = made
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    part = tar.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in [top, *sorted(top.rglob("*"))]:
            archive.add(path, path.relative_to(top.parent).as_posix(), recursive=False, filter=plain)
    part.replace(tar)
    return tar


def _made_at() -> datetime:
    """When the commit was made, so that one commit makes one bundle; today where there is no history."""
    if said := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(said), UTC)
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"],  # noqa: S607 - whichever git the maker uses
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return datetime.fromtimestamp(int(told.stdout), UTC) if told.returncode == 0 and told.stdout else datetime.now(UTC)


def _run(words: list[str], what: str, **environ: str) -> None:
    told = subprocess.run(  # noqa: S603 - our own words
        words, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    if told.returncode:
        lines = [line for line in told.stderr.splitlines() if line.strip()]
        raise BundleRefused(f"cannot get the {what}: {' | '.join(lines[-2:])}")


def main(arguments: list[str]) -> int:
    """Make the bundles that are asked for, and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bundle", description=__doc__)
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    parser.add_argument("--python", action="append", help=f"minor of Python, again for a further one ({here})")
    parser.add_argument("--machine", action="append", help=f"x86_64 or aarch64 ({platform.machine()})")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder (%(default)s)")
    chosen = parser.parse_args(arguments)
    for machine in chosen.machine or [platform.machine()]:
        for python in chosen.python or [here]:
            try:
                sys.stdout.write(f"{make_bundle(Target(python, machine), chosen.into)}\n")
            except BundleRefused as refusal:
                sys.stderr.write(f"exmail-bridge: {refusal}\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
