"""What happens in a mailbox: a mail comes, or the unread count changes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Mail:
    """A mail in one mailbox, and whether a listener was told of it.

    ``mailbox`` is the account, ``user_name`` what the push calls it (an account's slave address is possible),
    ``unread`` the mailbox's count after it came, ``time_s`` epoch seconds. ``pushed`` says that a whole, readable
    document about it was handed to a listener's connection; what happened to those bytes later is not known here.
    ``pushed_to``: the clients' ports of those connections. ``overdue``: no long poll came for it in time.
    """

    mailbox: str
    mail_id: str
    sender: str
    receiver: str
    subject: str
    summary: str
    unread: int
    time_s: float
    user_name: str
    pushed: bool = False
    pushed_to: list[int] = field(default_factory=list)
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class UnreadCount:
    """The unread count of a mailbox, after somebody has read."""

    mailbox: str
    unread: int
