"""Write JSON documents as the provider writes them, habits included (protocol 3.2.2 and the examples of 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from bridge.simulator.dialect import Dialect, KeyCase
from bridge.simulator.world.account import DirectoryEntry
from bridge.simulator.world.mail import Mail, UnreadCount

ERROR_TEXTS: Mapping[int, str] = {
    1001: "invalid_request",
    1002: "temporarily_unavailable",
    1200: "invalid_token",
    1301: "user_not_found",
    1310: "party_not_found",
}
"""The texts that are known to stand beside an errcode; other codes have come without one."""


def encode(value: object, dialect: Dialect) -> bytes:
    """One JSON value with the dialect's habits in keys, commas and blanks."""
    if dialect.padded_keys or dialect.key_case is not KeyCase.AS_IS:
        value = _respell(value, dialect)
    if dialect.trailing_commas:
        return _encode_with_trailing_commas(value)
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if dialect.indented else None)


def ret_document(ret: int, dialect: Dialect) -> bytes:
    """The answer to a listen request (protocol 3.2.1); 0 means online."""
    return encode({"Ret": ret}, dialect)


def errcode_document(code: int, dialect: Dialect, text: str | None = None) -> bytes:
    """A refusal; code and text are strings, and the HTTP status stays 200."""
    return encode({"errcode": str(code), "error": ERROR_TEXTS.get(code, "") if text is None else text}, dialect)


def push_document(change: Mail | UnreadCount | DirectoryEntry, dialect: Dialect, *, ver_shift_ms: int = 0) -> bytes:
    """What a listener is told of a change (protocol 3.2.2)."""
    if isinstance(change, Mail):
        return encode(
            {
                "UserName": change.user_name,
                "MailId": change.mail_id,
                "Sender": change.sender,
                "Receiver": change.receiver,
                "Subject": change.subject,
                "Summary": change.summary,
                "NewCount": count(change.unread, as_text=dialect.push_count_as_text),
            },
            dialect,
        )
    if isinstance(change, UnreadCount):
        unread = count(change.unread, as_text=dialect.push_count_as_text)
        return encode({"UserName": change.mailbox, "NewCount": unread}, dialect)
    return ver_document(change.ver + ver_shift_ms, dialect)


def ver_document(ver: int, dialect: Dialect) -> bytes:
    """The newest version of the directory."""
    return encode({"Ver": count(ver, as_text=dialect.push_ver_as_text)}, dialect)


def count(number: int, *, as_text: bool) -> int | str:
    """A number in one of the two forms that have been seen."""
    return str(number) if as_text else number


def _respell(value: object, dialect: Dialect) -> object:
    if isinstance(value, dict):
        return {
            _respell_key(key, place, dialect): _respell(item, dialect)
            for place, (key, item) in enumerate(value.items())
        }
    if isinstance(value, list):
        return [_respell(item, dialect) for item in value]
    return value


def _respell_key(key: str, place: int, dialect: Dialect) -> str:
    match dialect.key_case:
        case KeyCase.LOWER:
            key = key.lower()
        case KeyCase.UPPER:
            key = key.upper()
        case KeyCase.AS_IS:
            pass
    # As printed in protocol 3.2.2 (3): a blank before each, and one behind every second.
    return f" {key}{' ' * (place % 2)}" if dialect.padded_keys else key


def _encode_with_trailing_commas(value: object) -> bytes:
    # orjson rightly cannot write this, and a replacement in its text would also hit braces inside strings.
    if isinstance(value, dict):
        return b"{%s}" % b"".join(
            orjson.dumps(key) + b":" + _encode_with_trailing_commas(item) + b"," for key, item in value.items()
        )
    if isinstance(value, list):
        return b"[%s]" % b"".join(_encode_with_trailing_commas(item) + b"," for item in value)
    return orjson.dumps(value)
