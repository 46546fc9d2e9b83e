"""What the provider says, in types.

Names follow the protocol document, so that code and document grep alike. The only conversions made on the way in:
numbers that came as text are ``int``, and addresses are trimmed (their case is the reader's affair).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, TypedDict

from .action import Action as Action


@dataclass(frozen=True, slots=True)
class UserChange:
    """One line of ``user/list`` (protocol 3.3.3). An action that the protocol does not know reads as ``MOD``."""

    action: Action
    alias: str


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


class ProfileFields(TypedDict, total=False):
    """What may be said of an account beside its addresses, name and password (protocol 3.3.2).

    ``gender``: 1 male, 2 female, 0 as it is. ``parties`` are paths of departments that exist, ``""`` for the root, in
    place of those before. ``slaves`` are up to five further addresses, in place of those before; none if empty.
    ``open_type``: 1 enabled, 2 disabled, 0 as it is. ``md5``: the password is given as its MD5, 32 hexadecimal digits.
    """

    gender: Literal[0, 1, 2]
    position: str
    tel: str
    mobile: str
    ext_id: str
    parties: Sequence[str]
    slaves: Sequence[str]
    open_type: Literal[0, 1, 2]
    md5: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """An account as ``user/get`` tells it (protocol 3.3.1).

    ``gender``: 0 not set, 1 male, 2 female. ``open_type``: 1 enabled, 2 disabled, 0 not told. ``slaves`` are the
    account's further addresses (别名), ``parties`` its departments as paths without the root. ``status`` is not
    in the document but was seen. Where a provider tells departments as one text, a comma in a name cannot be told from
    one between two.
    """

    alias: str
    name: str
    gender: Literal[0, 1, 2]
    slaves: tuple[str, ...]
    position: str
    tel: str
    mobile: str
    ext_id: str
    parties: tuple[str, ...]
    open_type: Literal[0, 1, 2]
    status: int | str | None

    def fields(self) -> ProfileFields:
        """What of it can be written, to this account or another: ``user_modify(alias, **profile.fields())``."""
        return {
            "gender": self.gender,
            "position": self.position,
            "tel": self.tel,
            "mobile": self.mobile,
            "ext_id": self.ext_id,
            "parties": self.parties,
            "slaves": self.slaves,
            "open_type": self.open_type,
        }


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
