"""Make recorded bytes of listen safe to hand on: every text of people becomes a stand-in of the same length (pure).

What framing is made of stays as it is: heads, lengths, chunk sizes, punctuation, keys, the few numbers that the
protocol itself needs, broken characters as broken ones. Whatever is not known to be harmless is replaced, so that a
wrong belief about the wire costs the recording some use, and nobody a secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

_HEAD: Final = re.compile(rb"HTTP/1\.[01] [^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n?")
_CHUNK_SIZE: Final = re.compile(rb"\r?\n?[0-9A-Fa-f]{1,8}\r\n")
_WITHIN_STRING: Final = re.compile(rb"\r\n[0-9A-Fa-f]{1,4}\r\n")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_COLON: Final = re.compile(rb"\s*:")
_NUMBER: Final = re.compile(rb"[0-9]+")
_WORD: Final = re.compile(rb"[A-Za-z]+")
_LINE: Final = re.compile(rb"([^\r\n:]*)(:[ \t]*)?([^\r\n]*)(\r?\n)?")
_KEY: Final = re.compile(rb"[A-Za-z_ ]{1,32}")
_PIECE: Final = re.compile(
    rb"\\u[0-9A-Fa-f]{4}|\\.|[\xf0-\xf4][\x80-\xbf]{3}|[\xe0-\xef][\x80-\xbf]{2}|[\xc2-\xdf][\x80-\xbf]|.", re.DOTALL
)

_NUMBERS: Final = frozenset({"ver", "newcount", "ret", "errcode", "count", "action"})
_WORDS: Final = frozenset({b"true", b"false", b"null"})
_ERRORS: Final = frozenset(
    {b"invalid_token", b"invalid_request", b"temporarily_unavailable", b"user_not_found", b"party_not_found"}
)
_HEADERS: Final = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"content-type",
        b"content-encoding",
        b"keep-alive",
        b"date",
    }
)
_LONGEST_NUMBER: Final = 16


def redacted(data: bytes, key: bytes) -> bytes:
    """``data`` with stand-ins, as long as it was. Equal texts get equal stand-ins under one ``key``, different ones
    almost always different ones."""
    out = b"".join(_pieces(data, key))
    if len(out) != len(data):
        raise AssertionError("a stand-in has another length")
    return out


def _pieces(data: bytes, key: bytes) -> Iterator[bytes]:
    at, name = 0, ""
    while at < len(data):
        if head := _HEAD.match(data, at):
            yield _of_head(head[0])
            at, name = head.end(), ""
        elif data[at : at + 1] == b'"':
            string = _STRING.match(data, at)
            assert string is not None
            at = string.end()
            text = string[0]
            if _COLON.match(data, at) and _KEY.fullmatch(text.strip(b'"')):
                name = text.strip(b'"').strip().decode().lower()
                yield text
            else:
                yield _of_string(text, name, key)
        elif (size := _CHUNK_SIZE.match(data, at)) and (size[0][:1] in b"\r\n" or data[at - 1 : at] in b"\n"):
            yield size[0]
            at = size.end()
        elif number := _NUMBER.match(data, at):
            plain = name in _NUMBERS and len(number[0]) <= _LONGEST_NUMBER
            yield number[0] if plain else b"7" * len(number[0])
            at = number.end()
        elif word := _WORD.match(data, at):
            yield word[0] if word[0] in _WORDS else b"x" * len(word[0])
            at = word.end()
        else:
            byte = data[at : at + 1]
            yield byte if byte < b"\x80" or data[at : at + 3] == b"\xef\xbb\xbf" else _stand_in_of_byte(byte)
            at += 1


def _of_head(head: bytes) -> bytes:
    status, *lines = head.splitlines(keepends=True)
    version, _, rest = status.partition(b" ")
    code, blank, reason = rest.partition(b" ")
    return version + b" " + code + blank + re.sub(rb"[^\x20-\x7e\r\n]", b"x", reason) + b"".join(map(_of_header, lines))


def _of_header(line: bytes) -> bytes:
    found = _LINE.match(line)
    assert found is not None
    name, colon, value, end = (part or b"" for part in found.groups())
    if name.strip().lower() in _HEADERS:
        return line
    return (name if colon else b"x" * len(name)) + colon + b"x" * len(value) + end


def _of_string(text: bytes, name: str, key: bytes) -> bytes:
    """A string value, quotes included; the last one of a recording may lack its end."""
    inner = text[1:-1] if len(text) > 1 and text.endswith(b'"') else text[1:]
    end = text[1 + len(inner) :]
    bare = inner.strip()
    if (name in _NUMBERS and re.fullmatch(rb"-?[0-9]{1,16}", bare)) or (name == "error" and bare in _ERRORS):
        return text
    letters = _letters(key, inner)
    out = []
    at = 0
    while at < len(inner):
        # The size of a chunk of HTTP may stand in the middle of a text.
        if size := _WITHIN_STRING.match(inner, at):
            out.append(size[0])
            at = size.end()
            continue
        piece = _PIECE.match(inner, at)
        assert piece is not None
        out.append(_stand_in(piece[0], letters))
        at = piece.end()
    return b'"' + b"".join(out) + end


def _letters(key: bytes, text: bytes) -> Iterator[int]:
    """Numbers without an end, the same for the same text."""
    # Chunk sizes in it would make one text two.
    value = _WITHIN_STRING.sub(b"", text)
    block = hashlib.blake2b(value, key=key, digest_size=64).digest()
    while True:
        yield from block
        block = hashlib.blake2b(block, key=key, digest_size=64).digest()


def _stand_in(piece: bytes, letters: Iterator[int]) -> bytes:
    if len(piece) == 6 and piece.startswith(b"\\u"):
        unit = int(piece[2:], 16)
        # Halves of a pair stay halves.
        return b"\\ud83d" if 0xD800 <= unit < 0xDC00 else b"\\ude00" if 0xDC00 <= unit < 0xE000 else b"\\u67d0"
    if len(piece) == 1:
        if piece.islower():
            return bytes([ord("a") + next(letters) % 26])
        if piece.isupper():
            return bytes([ord("A") + next(letters) % 26])
        if piece.isdigit():
            return bytes([ord("0") + next(letters) % 10])
        return piece if piece < b"\x80" else _stand_in_of_byte(piece)
    if piece.startswith(b"\\"):
        # Else no escape of JSON at all; what stands there may be a letter of somebody's.
        return piece if piece[1:2] in (b'"', b"\\", b"/", b"b", b"f", b"n", b"r", b"t") else b"\\x"
    return {2: "\u00e9".encode(), 3: "\u67d0".encode(), 4: "\U0001f600".encode()}[len(piece)]


def _stand_in_of_byte(byte: bytes) -> bytes:
    """A byte of a broken character: as broken as it was."""
    return b"\x80" if byte < b"\xc0" else b"\xe6"
