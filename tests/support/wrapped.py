"""Programs under a library that lies to them: about the time, about the names of machines."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path

Require = Callable[[str], str]

LIBRARIES = {
    "libfaketime.so.1": ("faketime", "/usr/lib/*/faketime/libfaketime.so.1"),
    "libnss_wrapper.so": ("libnss-wrapper", "/usr/lib/*/libnss_wrapper.so"),
}
"""The Debian package that brings a library, and where."""


def find_library(name: str) -> str | None:
    """The path of a library to preload; ``None``: its package is not installed."""
    return next(iter(glob.glob(LIBRARIES[name][1])), None)


class Clock:
    """A wall clock that can be set while programs run. What is monotonic stays so, as on a real machine."""

    def __init__(self, library: str, folder: Path) -> None:
        self._library = library
        self._file = folder / "clock"
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """So many seconds ahead of the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.replace(self._file)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


class Hosts:
    """What names stand for, in a file that may change while programs run. ``environ`` is what they need."""

    def __init__(self, library: str, folder: Path) -> None:
        self._library = library
        self._file = folder / "hosts"
        self._changed = 0
        self.know()

    def know(self, *names: str) -> None:
        """These names are this machine, and no others are known."""
        # Never empty: such a file is not looked at. Its time of change, in whole seconds, tells that it is another.
        self._file.write_text("".join(f"127.0.0.1 {name}\n" for name in ("nobody.invalid", *names)))
        self._changed += 10
        os.utime(self._file, (self._changed, self._changed))

    @property
    def environ(self) -> dict[str, str]:
        return {"LD_PRELOAD": self._library, "NSS_WRAPPER_HOSTS": str(self._file)}


def wrapper(folder: Path, binary: str, *, environ: dict[str, str] | None = None, before: str = "") -> Path:
    """A script that becomes ``binary``, with more in its environment, after the shell did ``before``."""
    script = folder / "wrapped"
    variables = "".join(f"export {name}='{value}'\n" for name, value in (environ or {}).items())
    script.write_text(f'#!/bin/sh\n{before}\n{variables}exec {binary} "$@"\n')
    script.chmod(0o755)
    return script
