"""A wheel as a file: what it is, under which licence it comes, and what it asks of the machine."""

from __future__ import annotations

import hashlib
import re
import zipfile
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name, parse_wheel_filename

_LICENCE: Final = re.compile(r"(licen[cs]e|copying|notice|authors)", re.IGNORECASE)
# What the older names of tags stand for.
_LEGACY: Final = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}


@dataclass(frozen=True)
class Wheel:
    """One wheel."""

    path: Path

    @property
    def name(self) -> str:
        return canonicalize_name(parse_wheel_filename(self.path.name)[0])

    @property
    def version(self) -> str:
        return str(self.metadata["Version"])

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @cached_property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.path) as archive:
            [name] = [each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each)]
            return message_from_string(archive.read(name).decode("utf-8"))

    @property
    def requirements(self) -> list[str]:
        return [str(each) for each in self.metadata.get_all("Requires-Dist", [])]

    @property
    def licence(self) -> tuple[str, str]:
        """How its licence is called: an SPDX ``expression``, or else a ``name`` in the author's words."""
        if said := self.metadata.get("License-Expression"):
            return "expression", str(said)
        classified = [
            each.rpartition(" :: ")[2]
            for each in self.metadata.get_all("Classifier", [])
            if each.startswith("License :: OSI Approved :: ")
        ]
        words = str(self.metadata.get("License") or "").strip().splitlines()
        return "name", ", ".join(classified) or (words[0][:120] if words else "unknown")

    def licence_texts(self) -> dict[str, bytes]:
        """The texts that come with it, by file name."""
        found = {}
        with zipfile.ZipFile(self.path) as archive:
            for name in archive.namelist():
                inside = PurePosixPath(name)
                if inside.parts[0].endswith(".dist-info") and _LICENCE.search("/".join(inside.parts[1:])):
                    shown = [part for part in inside.parts[1:] if part != "licenses"]
                    if not name.endswith("/"):
                        found["_".join(shown)] = archive.read(name)
        return found

    @property
    def glibc(self) -> int:
        """The least y of glibc 2.y that it runs with; 0 where it is Python only.

        Raises:
            ValueError: it is for another C library or system.
        """
        needed = []
        for tag in parse_wheel_filename(self.path.name)[3]:
            if tag.platform == "any":
                return 0
            found = re.fullmatch(r"(?:manylinux_2_(\d+)|(manylinux\d+))_\w+", tag.platform)
            if found:
                needed.append(int(found[1]) if found[1] else _LEGACY[found[2]])
        if not needed:
            raise ValueError(f"{self.path.name} is not for Linux with glibc")
        return min(needed)
