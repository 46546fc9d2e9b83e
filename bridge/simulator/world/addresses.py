"""Addresses of the corporation: whether one can exist, and what it is.

Accounts, slaves and groups share one space of names, so that each address means one thing (protocol 3.3.8).
"""

from __future__ import annotations

import re
import string
from enum import IntEnum

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LOCAL_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9_-])?")


class AddressKind(IntEnum):
    """What an address is, in the numbers of ``user/check`` (protocol 3.3.8)."""

    INVALID = -1
    FREE = 0
    ACCOUNT = 1
    SLAVE = 2
    GROUP = 3


def normal(address: str) -> str:
    """The form in which addresses are compared and kept: the case of ASCII letters does not count."""
    return address.strip().translate(_LOWER)


def is_possible(address: str, domain: str) -> bool:
    """Whether a normal address could be given to somebody; one of another domain could not."""
    local_part, at, host = address.rpartition("@")
    return bool(at) and host == domain and _LOCAL_PART.fullmatch(local_part) is not None
