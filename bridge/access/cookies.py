"""The cookies of a request."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import hdrs

from bridge.access.asking import Asking


def cookie_pairs(request: Asking) -> Iterator[tuple[str, str]]:
    """Every cookie, name and value as they were sent, in the browser's order; aiohttp would keep one of a name."""
    for pair in ";".join(request.headers.getall(hdrs.COOKIE, [])).split(";"):
        name, _, value = pair.partition("=")
        yield name.strip(), value.strip()


def cookie_values(request: Asking, name: str) -> list[str]:
    """The values of all cookies with this name, each once, without quotes."""
    found = (value.strip('"') for each, value in cookie_pairs(request) if each == name)
    return [value for value in dict.fromkeys(found) if value]
