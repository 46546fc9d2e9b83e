"""The profile of an account as the directory holds it: a JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def read_profile(text: bytes) -> Mapping[str, Any] | None:
    """Read what is stored; ``None``: it is no JSON object, so something else than the bridge wrote it."""
    # One call for each of hundreds of thousands: neither by way of events.from_json, nor isinstance().
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    match found:
        case dict():
            return found
    return None


def named(alias: str) -> dict[str, Any]:
    """The profile of an account of which nothing but its name could be read."""
    return {"alias": alias, "incomplete": True}
