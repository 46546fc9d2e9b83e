"""One account of the simulated corporation, and one line of the history of its directory.

Field values are the provider's (protocol 3.3.1); their names here are ours to read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum


class Action(IntEnum):
    """What happened to an account (protocol 3.3.3)."""

    DEL = 1
    ADD = 2
    MOD = 3


@dataclass(frozen=True, slots=True)
class Account:
    """What ``user/get`` tells (protocol 3.3.1), and behind the status what it does not tell.

    ``parties`` are paths without the root; none means that the account belongs to the root. ``open_type`` 2 is
    disabled. The password is kept as the hex digits that a caller with ``Md5=1`` would send (empty: never set).
    ``wxtoken``: logging in needs the WeChat password too (protocol 3.3.14).
    """

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
    password_md5: str = field(default="", repr=False)
    wxtoken: bool = False

    @property
    def disabled(self) -> bool:
        """Whether the account was switched off (OpenType 2)."""
        return self.open_type == 2


def digest(password: str) -> str:
    """A plain password as the provider wants it with ``Md5=1`` (protocol 3.3.2)."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """The directory changed; ``ver`` is a 13-digit stamp in milliseconds, greater than every one before it."""

    ver: int
    action: Action
    alias: str
