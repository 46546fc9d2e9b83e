"""One account of the simulated corporation, and one line of the history of its directory.

Field values are the provider's (protocol 3.3.1); their names here are ours to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Action(IntEnum):
    """What happened to an account (protocol 3.3.3)."""

    DEL = 1
    ADD = 2
    MOD = 3


@dataclass(frozen=True, slots=True)
class Account:
    """What ``user/get`` tells (protocol 3.3.1)."""

    alias: str
    name: str
    gender: int = 0
    slaves: tuple[str, ...] = ()
    position: str = ""
    tel: str = ""
    mobile: str = ""
    ext_id: str = ""
    parties: tuple[str, ...] = ()
    open_type: int = 1
    status: int = 1


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """The directory changed; ``ver`` is a 13-digit stamp in milliseconds, greater than every one before it."""

    ver: int
    action: Action
    alias: str
