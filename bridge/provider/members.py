"""Who has a mailbox: the types in which a provider's answers are given, and the port by which the bridge asks.

Names follow the protocol document of BizMail, where member events have theirs from. Addresses are as the provider
sent them, trimmed; their case is the reader's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol, TypedDict


class Action(IntEnum):
    """What happened to an account, or shall happen; the numbers are BizMail's (protocol 3.3.2, 3.3.3, 3.3.5)."""

    DEL = 1
    ADD = 2
    MOD = 3


@dataclass(frozen=True, slots=True)
class UserChange:
    """One line of a listing (protocol 3.3.3). An action that the protocol does not know reads as ``MOD``."""

    action: Action
    alias: str


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
    """One account (protocol 3.3.1).

    ``gender``: 0 not set, 1 male, 2 female. ``open_type``: 1 enabled, 2 disabled, 0 not said. ``slaves`` are the
    account's further addresses (别名), ``parties`` its departments as paths without the root. ``status`` is not
    in the document but was seen. If a provider sends departments as one text, a comma in a name looks like one between
    two.
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

    @property
    def disabled(self) -> bool | None:
        """Whether the account is switched off; ``None``: the provider does not say."""
        return self.open_type == 2 if self.open_type else None

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
class Listing:
    """An answer about members, and how far its source believes it.

    ``ver``: the cursor that it stands for, a number that grows. ``changes``: its lines as sent; an account may occur
    twice, the last line counts. ``whole``: an account that it leaves out is not there. ``short``: lines are missing,
    in words, or ``""``; ``settled``: asking again brings nothing better. ``refused``: why the answer cannot be used at
    all, or ``""``; it has no lines then, and ``answered`` is the cursor that it named, if any. ``newer``: what it
    named lies after the cursor that was asked with.
    """

    ver: int
    changes: Sequence[UserChange] = ()
    whole: bool = False
    short: str = ""
    settled: bool = True
    refused: str = ""
    answered: int | None = None
    newer: bool = False


class Members(Protocol):
    """A source of members. Whether a cursor can be one, is behind or too far ahead, is its judgement alone."""

    def cursor_of(self, stored: str | None) -> int | None:
        """Read a cursor that was stored; ``None``: there is none, or it is none that this source ever gave."""

    async def changes(self, cursor: int, *, announced: int, now_s: float) -> Listing:
        """What changed after ``cursor``.

        ``announced`` is the newest cursor that was pushed, 0 for none: the source waits a moment for an answer that
        reaches it. ``now_s``: epoch seconds of the clock that all processes share.

        Raises:
            ProviderError
        """

    async def everything(self) -> Listing:
        """Everybody who is there.

        Raises:
            ProviderError
        """

    async def account(self, alias: str) -> Profile:
        """One account.

        Raises:
            NotFound: there is no such account.
            BadParameter: it is no name that can be asked for.
            ProviderError
        """
