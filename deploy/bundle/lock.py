"""Hashed lock files: what they pin, and which of it a Python on a machine takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.utils import canonicalize_name

# The patch release is not known before the bundle is there: what the first or the last of a minor needs is taken along.
_PATCHES: Final = (0, 99)


@dataclass(frozen=True)
class Pin:
    """One package of a lock; ``marker`` is empty where every machine takes it, ``hashes`` are SHA-256 in hex."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


@dataclass(frozen=True)
class Target:
    """What a bundle is for: a minor of Python such as ``3.11``, and a machine as ``uname -m`` says it."""

    python: str
    machine: str

    @property
    def label(self) -> str:
        return f"linux-{self.machine}-cp{self.python.replace('.', '')}"

    def takes(self, marker: str, *, extra: str = "") -> bool:
        """Say whether a requirement with this marker is one for the target."""
        return not marker or any(Marker(marker).evaluate(environ) for environ in self._environs(extra))

    def _environs(self, extra: str) -> Iterator[dict[str, str]]:
        for patch in _PATCHES:
            full = f"{self.python}.{patch}"
            yield {
                "extra": extra,
                "implementation_name": "cpython",
                "implementation_version": full,
                "os_name": "posix",
                "platform_machine": self.machine,
                "platform_python_implementation": "CPython",
                "platform_release": "",
                "platform_system": "Linux",
                "platform_version": "",
                "python_full_version": full,
                "python_version": self.python,
                "sys_platform": "linux",
            }


def read_lock(path: Path) -> list[Pin]:
    """Return what a lock pins.

    Raises:
        ValueError: a line of it is no pin; the text names the line.
    """
    pins = []
    for line in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)\s*(?:;\s*(.*?))?((?:\s+--hash=sha256:[0-9a-f]{64})*)\s*", line)
        if found is None:
            raise ValueError(f"{path.name}: {line.split('--hash')[0].strip()} is no pinned package")
        name, version, marker, hashes = found.groups()
        digests = frozenset(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        pins.append(Pin(canonicalize_name(name), version, marker or "", digests))
    return pins


def write_requirements(pins: Iterable[Pin]) -> str:
    """The pins as pip reads them, for a machine that is not asked about markers."""
    return "".join(
        f"{pin.name}=={pin.version}{''.join(f' --hash=sha256:{digest}' for digest in sorted(pin.hashes))}\n"
        for pin in pins
    )
