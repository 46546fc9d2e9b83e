"""What the provider pushes, in types: the vocabulary that a dialect translates into."""

from __future__ import annotations

from typing import Literal

import msgspec

UnreadableReason = Literal["bad-json", "not-object", "unknown-shape", "truncated", "too-large"]
"""Why a document is dead. A closed set, fit for a metric label.

``bad-json``: not JSON even after repair · ``not-object``: text with no JSON object in it · ``unknown-shape``: an
object that means nothing to us · ``truncated``: its response or connection ended inside it · ``too-large``.
"""


# Structs, not dataclasses: these are built once a push. gc=False: they hold text and numbers only, no cycles.
class Online(msgspec.Struct, frozen=True, gc=False):
    """``{"Ret": 0}``: we are listening (protocol 3.2.1). Any other ``ret`` is a refusal."""

    ret: int


class VersionChanged(msgspec.Struct, frozen=True, gc=False):
    """``{"Ver": …}``: the member directory changed (protocol 3.2.2 (1)). ``ver`` is epoch milliseconds."""

    ver: int


class MailArrived(msgspec.Struct, frozen=True, gc=False):
    """A mail arrived (protocol 3.2.2 (2)).

    ``mail_id`` is ``''`` if the provider sent none; texts are ``None`` if absent; ``unread`` is the mailbox's
    unread count after this mail, ``None`` if absent or no number.
    """

    mailbox: str
    mail_id: str
    sender: str | None
    receiver: str | None
    subject: str | None
    summary: str | None
    unread: int | None


class UnreadChanged(msgspec.Struct, frozen=True, gc=False):
    """The unread count of a mailbox changed (protocol 3.2.2 (3))."""

    mailbox: str
    unread: int


class RefusalPushed(msgspec.Struct, frozen=True, gc=False):
    """An errcode document on the listen stream. ``errcode`` is text, as the provider sends it."""

    errcode: str
    text: str

    @property
    def label(self) -> str:
        """What may be logged of it."""
        return self.errcode


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A dead document: it cannot be read, and changes nothing; ``document`` is kept for inspection.

    ``cut_from``: how many bytes it had, if ``document`` is only its head; else 0.
    """

    reason: UnreadableReason
    document: bytes
    cut_from: int = 0


Push = Online | VersionChanged | MailArrived | UnreadChanged | RefusalPushed | Unreadable
