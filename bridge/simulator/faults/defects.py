"""Spoil a document, in the ways a push may be spoilt (provider in practice, section 2).

Some defects can be repaired by a tolerant reader (of an oversized document it has the beginning, which names the
mail), others make the document dead; both must leave the session alive.
"""

from __future__ import annotations

from enum import StrEnum

import orjson

OVERSIZED_BYTES = 17 * 1024 * 1024


class Defect(StrEnum):
    """What is wrong with a document."""

    BOM = "bom"
    CONTROL_CHAR = "control-char"
    BAD_UTF8 = "bad-utf8"
    LONE_SURROGATE = "lone-surrogate"
    BAD_JSON = "bad-json"
    UNKNOWN_SHAPE = "unknown-shape"
    NO_USER_NAME = "no-user-name"
    OVERSIZED = "oversized"

    @property
    def repairable(self) -> bool:
        """Whether a tolerant reader still learns of the mail."""
        repairable = (Defect.BOM, Defect.CONTROL_CHAR, Defect.BAD_UTF8, Defect.LONE_SURROGATE, Defect.OVERSIZED)
        return self in repairable


def spoil(document: bytes, defect: Defect) -> bytes:
    """The document of a mail push with this defect.

    Quotes and braces stay balanced, so that a defect does not swallow the documents behind it.
    """
    match defect:
        case Defect.BOM:
            return b"\xef\xbb\xbf" + document
        case Defect.CONTROL_CHAR:
            return _in_summary(document, b"line\nfeed \x01 tab\there")
        case Defect.BAD_UTF8:
            # A summary cut in the middle of a character: the likeliest defect of all.
            return _in_summary(document, "摘要".encode()[:-1])
        case Defect.LONE_SURROGATE:
            return _in_summary(document, b"half an emoji \\ud83d")
        case Defect.BAD_JSON:
            return b'{"UserName" "bob", not json}'
        case Defect.UNKNOWN_SHAPE:
            return b'{"Event":"maintenance","Window":[23,2]}'
        case Defect.NO_USER_NAME:
            fields = orjson.loads(document)
            del fields["UserName"]
            return orjson.dumps(fields)
        case Defect.OVERSIZED:
            return _in_summary(document, b"x" * OVERSIZED_BYTES)


def _in_summary(document: bytes, text: bytes) -> bytes:
    fields = orjson.loads(document)
    fields["Summary"] = "@"
    head, tail = orjson.dumps(fields).rsplit(b'"Summary":"@"', 1)
    return b'%b"Summary":"%b"%b' % (head, text, tail)
