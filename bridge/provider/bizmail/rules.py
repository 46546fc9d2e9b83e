"""What the protocol document asks of a parameter, checked before anything is sent.

A refusal by the provider is a number, often 1001 for everything; a rule says what is wrong. Each takes the text that
a caller gave and returns what is sent, or raises ``ValueError`` with what a value must be, in words that follow the
parameter's name and never quote the value. What the document leaves open is left to the provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeGuard

Rule = Callable[[str], str]

VER_END: Final = 10**18
"""No Ver has more digits than 18; those of today have 13."""
DAY_MS: Final = 86_400_000

PASSWORD_CHARACTERS: Final = range(6, 33)
MOST_LEVELS: Final = 5
MOST_CHARACTERS: Final = 64

# Commas and semicolons separate addresses, also where the protocol has one parameter for several.
_ADDRESS: Final = re.compile(r"[^\s@,;<>()\"\x00-\x1f\x7f]{1,128}@[^\s@,;<>()\"/\x00-\x1f\x7f]{1,190}")
_MD5: Final = re.compile(r"[0-9a-fA-F]{32}")
_VER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
# Control characters, lone surrogates and what ends a line. Nothing else: wide blanks, joined emoji and characters that
# are newer than this Python stand in people's names.
_NO_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BOM: Final = "\ufeff"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def anything(value: str) -> str:
    """Text that is not empty; a reading call may ask for whatever the provider itself calls an account."""
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def line(value: str) -> str:
    """One line of text, or nothing."""
    value = value.strip()
    if _NO_LINE.search(value):
        raise ValueError("must be one line without control characters")
    return value


def name(value: str) -> str:
    """One line of text that is not empty."""
    if not value.strip():
        raise ValueError("must not be empty")
    return line(value)


def address(value: str) -> str:
    """A mail address."""
    value = value.strip()
    if not _ADDRESS.fullmatch(value):
        raise ValueError("must be a mail address, as in bob@gzdev.com")
    return value


def address_or_none(value: str) -> str:
    """A mail address, or nothing to say that there is none."""
    return address(value) if value.strip() else ""


def ver(value: str) -> str:
    """A version: digits, 0 for everything."""
    value = value.strip()
    if not _VER.fullmatch(value):
        raise ValueError("must be a whole number, 0 for everything")
    return value


def is_text(value: object) -> bool:
    """Whether a value is text that can be sent: some, and without half of a character."""
    return isinstance(value, str) and bool(value) and not _SURROGATE.search(value)


def is_ver(number: int | None) -> TypeGuard[int]:
    """Whether a number can be a Ver that the provider gave: above 0, which asks for everything, and 18 digits at most.

    The one rule for whatever is to become a cursor: an answer's Ver, a pushed one, a stored one.
    """
    return number is not None and 0 < number < VER_END


def read_ver(text: str | None) -> int | None:
    """A Ver that was stored as text, if it can be one."""
    number = int(text) if text is not None and text.isdecimal() and len(text) < 20 else None
    return number if is_ver(number) else None


def is_far_ahead(ver: int, *, now_s: float, cursor: int = 0) -> bool:
    """Whether a Ver, which is epoch milliseconds, is more than a day after our clock (``now_s``) and the cursor.

    No version of today's directory is; who asked with it would hear of no change for as long as it is ahead.
    """
    return ver > max(cursor, now_s * 1000) + DAY_MS


def password(value: str) -> str:
    """A password in clear; blanks at its ends belong to it, what nobody types does not."""
    if _NO_LINE.search(value) or _BOM in value:
        raise ValueError("must be one line without control characters and byte order mark")
    if len(value) not in PASSWORD_CHARACTERS:
        raise ValueError(f"must have {PASSWORD_CHARACTERS[0]} to {PASSWORD_CHARACTERS[-1]} characters")
    return value


def digest(value: str) -> str:
    """The MD5 of a password."""
    if not _MD5.fullmatch(value):
        raise ValueError("must be 32 hexadecimal digits where Md5 is 1")
    return value


def party(value: str) -> str:
    """The path of a department below the root, which has no name."""
    if not (path := party_or_root(value)):
        raise ValueError("must name a department; the root has no name")
    return path


def party_or_root(value: str) -> str:
    """The path of a department; nothing, or a slash, for the root."""
    path = value.strip().removeprefix("/")
    levels = path.split("/") if path else []
    if len(levels) > MOST_LEVELS:
        raise ValueError(f"must have at most {MOST_LEVELS} levels")
    if not all(level.strip() and len(level) <= MOST_CHARACTERS for level in levels):
        raise ValueError(f"must have 1 to {MOST_CHARACTERS} characters in each level between slashes")
    if _NO_LINE.search(path):
        raise ValueError("must have no control characters")
    return path


def one_of(*choices: str) -> Rule:
    """One of a closed set of words."""

    def rule(value: str) -> str:
        if value.strip() not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return value.strip()

    return rule
