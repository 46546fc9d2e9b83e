"""What only this provider says, in types; accounts are in the vocabulary (:mod:`bridge.provider.members`).

Names follow the protocol document, so that code and document grep alike. The only conversions made on the way in:
numbers that came as text are ``int``, and addresses are trimmed (their case is the reader's affair).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from ..members import UserChange


@dataclass(frozen=True, slots=True)
class Delta:
    """One answer of ``user/list`` (protocol 3.3.3).

    ``ver`` is ``None`` if the answer has none that can be (:func:`.rules.is_ver`), 0 if it says 0.
    ``changes`` are as sent, an alias may occur twice. ``count`` is the provider's own count of lines, for comparison;
    ``unreadable`` counts lines without an alias, which are not among ``changes``.
    """

    ver: int | None
    changes: tuple[UserChange, ...]
    count: int | None = None
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class AuthKey:
    """A key that opens one mailbox once, for some minutes (protocol 3.1.1). Never log, store or publish it."""

    value: str = field(repr=False)


class AddressKind(IntEnum):
    """What an address is (protocol 3.3.8)."""

    INVALID = -1
    FREE = 0
    ACCOUNT = 1
    SLAVE = 2
    GROUP = 3


@dataclass(frozen=True, slots=True)
class AddressCheck:
    """One line of ``user/check`` (protocol 3.3.8)."""

    email: str
    kind: AddressKind
