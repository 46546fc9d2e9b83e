"""A process that may open no more files: what a machine looks like when descriptors run out."""

from __future__ import annotations

import os
import resource
from contextlib import suppress


class files_bounded:  # noqa: N801 - read as a word of the with statement
    """A process may open ``more`` files than it has now, and no further one, until the block ends."""

    def __init__(self, pid: int, more: int) -> None:
        self._pid = pid
        self._more = more
        self._usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def __enter__(self) -> None:
        numbers = [int(name) for name in os.listdir(f"/proc/{self._pid}/fd")]
        # The limit is one for the number of a descriptor, not for how many there are.
        free = sorted(set(range(max(numbers) + self._more + 2)) - set(numbers))
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (free[self._more], self._usual[1]))

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._usual)
