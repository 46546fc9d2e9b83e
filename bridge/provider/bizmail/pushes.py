"""Read the documents of the listen stream (protocol 3.2).

Documents carry no type: the keys that are present say what it is. Nothing here raises: if one strange document could
end the stream, anybody who can send a mail could end it.
"""

from __future__ import annotations

from typing import Any, Final

from ..faults import CODE_MOST, plain
from ..pushes import MailArrived, Online, Push, RefusalPushed, Unreadable, UnreadChanged, VersionChanged
from .documents import INT_END, NotJson, fold_keys, read_json, to_int, to_text
from .rules import is_ver
from .salvage import salvage_mail

_MAIL_KEYS: Final = ("MailId", "Sender", "Receiver", "Subject", "Summary")
NAMES: Final = ("UserName", "NewCount", *_MAIL_KEYS, "Ver", "Ret", "errcode", "error")
"""Every name that the protocol has in a document of the stream."""
_MAIL: Final = frozenset({"UserName", "NewCount", *_MAIL_KEYS})
_BEFORE: Final = b" \t\r\n\xef\xbb\xbf"
_FOLDED_MAIL_KEYS: Final = tuple(key.lower() for key in _MAIL_KEYS)


def parse_push(document: bytes) -> tuple[Push, ...]:
    """Read one document; never raises.

    Usually one push. A document with ``UserName`` and ``Ver`` says two things, and both are given: the mailbox
    first, then the version; ``Ret`` beside others comes before them. ``errcode`` stands alone: no document that
    succeeds carries it.
    """
    try:
        value = read_json(document)
    except NotJson:
        is_object = document.lstrip(_BEFORE)[:1] == b"{"
        return (parse_broken(Unreadable("bad-json", document)) if is_object else Unreadable("not-object", document),)
    if not isinstance(value, dict):
        return (Unreadable("not-object", document),)
    # The usual mail, in the document's own spelling: taken as it is.
    if value.keys() == _MAIL:
        mailbox, mail_id, unread = value["UserName"], value["MailId"], value["NewCount"]
        if type(mailbox) is str and type(mail_id) is str and type(unread) is int and 0 <= unread < INT_END:
            mailbox = mailbox.strip()
            sender, receiver, subject, summary = value["Sender"], value["Receiver"], value["Subject"], value["Summary"]
            if mailbox and type(sender) is type(receiver) is type(subject) is type(summary) is str:
                return (MailArrived(mailbox, mail_id.strip(), sender, receiver, subject, summary, unread),)
    return _pushes(fold_keys(value), document)


def parse_broken(dead: Unreadable) -> MailArrived | Unreadable:
    """The mail at the beginning of a document that is broken or incomplete; if there is none, the document itself."""
    return salvage_mail(dead.document) or dead


def _pushes(value: dict[str, Any], document: bytes) -> tuple[Push, ...]:
    errcode = to_text(value.get("errcode"))
    # 0 is how the successor API says that all is well.
    if errcode is not None and errcode.strip() not in ("", "0"):
        return (
            RefusalPushed(
                plain(errcode)[:CODE_MOST], plain(to_text(value.get("error")) or to_text(value.get("errmsg")) or "")
            ),
        )
    found: list[Push] = []
    if (ret := to_int(value.get("ret"))) is not None:
        found.append(Online(ret))
    if mailbox := (to_text(value.get("username")) or "").strip():
        unread = to_int(value.get("newcount"))
        if unread is not None and unread < 0:
            unread = None
        if any(value.get(key) is not None for key in _FOLDED_MAIL_KEYS):
            mail_id, sender, receiver, subject, summary = (to_text(value.get(key)) for key in _FOLDED_MAIL_KEYS)
            found.append(MailArrived(mailbox, (mail_id or "").strip(), sender, receiver, subject, summary, unread))
        elif unread is not None:
            found.append(UnreadChanged(mailbox, unread))
    if is_ver(ver := to_int(value.get("ver"))):
        found.append(VersionChanged(ver))
    return tuple(found) or (Unreadable("unknown-shape", document),)
