"""Where public routes are mounted: at the root, and below the path of the public URL.

A reverse proxy may strip that path or leave it on; a page reaches the same route either way.
"""

from __future__ import annotations


def mount_points(prefix: str) -> tuple[str, ...]:
    """The prefixes under which each route is mounted. ``prefix``: the path of the public URL, ``""`` if it has none."""
    return tuple(dict.fromkeys(("", prefix.rstrip("/"))))
