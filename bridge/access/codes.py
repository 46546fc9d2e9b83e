"""Why a connection ends: WebSocket close codes, which ``exmail.closing`` uses too.

3000–3499 and 4000–4499 mean "come back", 3500–3999 and 4500–4999 "do not". Reasons are plain words: a reason that
parses as JSON misleads Centrifugo's clients.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
NOT_UTF8: Final = 1007

SHUTTING_DOWN: Final = 3001
EXPIRED: Final = 3005
TOO_SLOW: Final = 3008
NO_CREDENTIAL: Final = 3009
NO_PONG: Final = 3012
BUSY: Final = 3013
INVALID_TOKEN: Final = 3500
BAD_REQUEST: Final = 3501
KICKED: Final = 3503
TOO_MANY: Final = 3504
NOT_ALLOWED: Final = 3507

REASONS: Final = {
    NORMAL: "bye",
    PROTOCOL_ERROR: "protocol error",
    NOT_UTF8: "text is not UTF-8",
    SHUTTING_DOWN: "shutting down",
    EXPIRED: "token expired",
    TOO_SLOW: "too slow",
    NO_CREDENTIAL: "come back with a fresh credential",
    NO_PONG: "no pong",
    BUSY: "busy, come later",
    INVALID_TOKEN: "invalid token",
    BAD_REQUEST: "bad request",
    KICKED: "kicked",
    TOO_MANY: "too many connections of this mailbox",
    NOT_ALLOWED: "not allowed",
}


def may_return(code: int) -> bool:
    """Say whether a client that was closed with this code may come back by itself."""
    return not (3500 <= code <= 3999 or 4500 <= code <= 4999)
