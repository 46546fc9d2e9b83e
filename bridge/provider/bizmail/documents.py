"""Read the provider's JSON, the broken kinds too.

orjson is strict, the provider is not: its own examples have trailing commas and padded keys, and a summary cut in
mid-character is bad UTF-8. A mail with U+FFFD in it is better than none, so what orjson refuses is repaired and read
again. Good documents never pay for that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

# Up to a few thousand pieces that are kept as they are (a string, of which one that is not closed is taken to the end,
# or each quote in it would be tried; what is none; a comma with something behind it), or a comma with nothing behind
# it. No match takes long, so in a thread other threads get their turn.
_KEPT_OR_TRAILING: Final = re.compile(
    rb'((?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[^",]++|,(?!\s*+[}\]])){1,4096}+)|,', re.DOTALL
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BOM: Final = b"\xef\xbb\xbf"

LONG: Final = 256 * 1024
"""Documents of more bytes are for a thread of their own."""
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])

INT_END: Final = 2**63
"""Numbers are whole ones of 64 bits, which is what Redis and every reader of an event can hold."""


class NotJson(ValueError):
    """These bytes are not JSON, even after repair."""


def read_json(document: bytes) -> Any:
    """Read one JSON text; repair it if need be (provider-in-practice 2).

    Raises:
        NotJson: nothing can be made of it.
    """
    try:
        return _in_pieces(document) if len(document) > LONG else orjson.loads(document)
    except ValueError:
        return _repair(document)


def _in_pieces(document: bytes) -> Any:
    """As :func:`orjson.loads`, which keeps every other thread waiting until it is done, 40 ms for 120,000 accounts. To
    find where the items of a list end takes a quarter of that, and each of them is read by a call of its own.
    """
    try:
        return {name: _value(bytes(raw)) for name, raw in _MEMBERS.decode(document).items()}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # No object, or not good: orjson says which.
        return orjson.loads(document)


def _value(text: bytes) -> Any:
    return [orjson.loads(memoryview(item)) for item in _ITEMS.decode(text)] if text[:1] == b"[" else orjson.loads(text)


def _repair(document: bytes) -> Any:
    kept = _KEPT_OR_TRAILING.finditer(document.strip().removeprefix(_BOM))
    document = b"".join(match[1] for match in kept if match[1])
    try:
        return orjson.loads(document)
    except ValueError:
        pass  # worse than that
    try:
        # strict=False: control characters inside strings are let through.
        return _without_surrogates(json.loads(document.decode("utf-8", "replace"), strict=False))
    except (ValueError, RecursionError) as error:
        raise NotJson("not JSON, even after repair") from error


def _without_surrogates(value: Any) -> Any:
    """Lone surrogates can be neither encoded nor sent on; pairs have been joined by the parser already."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def fold_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same object with keys trimmed and lower-cased: the provider pads them, and changes their case."""
    return {key.strip().lower(): value for key, value in document.items()}


def to_int(value: Any) -> int | None:
    """Read a number that may have come as text; ``None`` if it is no whole number of 64 bits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 20 or not (text.isascii() and text.lstrip("+-").isdigit()):
            return None
        try:
            value = int(text)
        except ValueError:
            return None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -INT_END <= value < INT_END else None


def to_text(value: Any) -> str | None:
    """Read text that may have come as a number; ``None`` if it is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None
