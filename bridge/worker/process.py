"""Which process on which host a worker is, and whether another one has ended.

A lease runs out seconds after its holder is gone, and no mail is announced meanwhile. On the holder's own host its end
can be known at once: the kernel says that there is no such process any more. A process that is slow or stopped is one
that exists, so silence is never taken for an end; and whatever cannot be known here is left to the lease.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Final, NamedTuple

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NUMBERS: Final = Path("/proc/self/ns/pid")
_ENDED: Final = ("Z", "X")


class _Process(NamedTuple):
    """``host``: the boot of a host, and the space of process ids within it · ``began``: ticks since that boot, because
    an id is given again."""

    host: str
    pid: int
    began: int


def this_process() -> str:
    """A name of this process that another one on this host can look it up by; empty where the kernel does not tell."""
    try:
        facts = (_BOOT.read_text().strip(), os.readlink(_NUMBERS), socket.gethostname())
        _, began = _looked_up(os.getpid())
    except (OSError, ValueError):
        return ""
    host = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]
    return f"{host}.{os.getpid()}.{began}"


def has_ended(name: str) -> bool:
    """Whether the process with this name was on this host and has ended for sure; what is no name has not."""
    here, there = _read(this_process()), _read(name)
    if here is None or there is None or here.host != there.host:
        return False
    try:
        state, began = _looked_up(there.pid)
    except (OSError, ValueError):
        # It is gone, or another user's and hidden from us.
        return _is_nobody(there.pid)
    return began != there.began or state in _ENDED


def _read(name: str) -> _Process | None:
    host, *numbers = name.split(".")
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    return _Process(host, int(numbers[0]), int(numbers[1]))


def _looked_up(pid: int) -> tuple[str, int]:
    """Its state, and when it began (proc(5): the third and the 22nd field; the second may have blanks in it)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _is_nobody(pid: int) -> bool:
    """Whether no process has this id. That we may not signal one says that it is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
