"""Read the mail at the beginning of a broken document.

A document that is no JSON as a whole (cut off, too large to be kept, nested too deep, a quote that nobody escaped)
mostly breaks in the text of a mail, and what stands before that is sound. A mail without its text is better than
none; but nothing is guessed: without a mailbox and a MailId there is no mail.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..pushes import MailArrived
from .documents import NotJson, read_json, to_int, to_text

_KEY: Final = rb'[\s,]*+"([^"\\]{0,64}+)"\s*+:\s*+'
_TEXT: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+'
_MEMBER: Final = re.compile(_KEY + rb'(%b"|[-+.\w]{1,32}+)\s*+(?=[,}])' % _TEXT, re.DOTALL)
_NESTED: Final = re.compile(_KEY + rb"(?=[\[{])")
_BROKEN_TEXT: Final = re.compile(_KEY + rb"(%b)" % _TEXT, re.DOTALL)
_BRACKET: Final = re.compile(rb'%b"|[\[{]++|[\]}]' % _TEXT, re.DOTALL)
_NESTED_MOST: Final = 256 * 1024
"""Bytes of a list or object that are searched for its end: whatever nests millions deep is no mail."""
_CUT_ESCAPE: Final = re.compile(rb"\\u[0-9A-Fa-f]{0,3}\Z")


def salvage_mail(document: bytes) -> MailArrived | None:
    """Read what can be read; ``None`` if that names no mail. The text that broke off ends in ``…``; never raises."""
    members, at = _whole_members(document)
    mailbox, mail_id = ((to_text(members.get(key)) or "").strip() for key in ("username", "mailid"))
    if not (mailbox and mail_id):
        return None
    if (broken := _BROKEN_TEXT.match(document, at)) is not None and (text := _broken_text(broken[2])):
        members.setdefault(_name(broken[1]), text)
    unread = to_int(members.get("newcount"))
    sender, receiver, subject, summary = (to_text(members.get(k)) for k in ("sender", "receiver", "subject", "summary"))
    unread = None if unread is None or unread < 0 else unread
    return MailArrived(mailbox, mail_id, sender, receiver, subject, summary, unread)


def _whole_members(document: bytes) -> tuple[dict[str, Any], int]:
    """The members before the broken place, by folded name, and where that is. The first of a name is believed."""
    members: dict[str, Any] = {}
    at = document.find(b"{") + 1
    while True:
        if (member := _MEMBER.match(document, at)) is not None:
            members.setdefault(_name(member[1]), _value(member[2]))
            at = member.end()
        elif (nested := _NESTED.match(document, at)) is not None and (end := _end_of(document, nested.end())):
            at = end
        else:
            return members, at


def _name(key: bytes) -> str:
    return key.decode("utf-8", "replace").strip().lower()


def _value(raw: bytes) -> Any:
    try:
        return read_json(raw)
    except NotJson:
        return None


def _broken_text(raw: bytes) -> str | None:
    text = _value(_CUT_ESCAPE.sub(b"", raw) + b'"')
    return f"{text}…" if isinstance(text, str) else None


def _end_of(document: bytes, at: int) -> int:
    """Where the list or object that begins at ``at`` ends; 0 if it does not soon. No recursion: it may be deep."""
    depth = 0
    for found in _BRACKET.finditer(document, at, at + _NESTED_MOST):
        first = found[0][:1]
        if first != b'"':
            depth += len(found[0]) if first in b"[{" else -1
            if depth == 0:
                return found.end()
    return 0
