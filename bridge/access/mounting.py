"""Where public routes are mounted: at the root, and below the path of the public URL.

A reverse proxy may strip that path or leave it on; a page reaches the same route either way.
"""

from __future__ import annotations


def mount_points(prefix: str) -> tuple[str, ...]:
    """What stands before each route's own path. ``prefix`` is the path of the public URL, ``""`` where it has none."""
    return tuple(dict.fromkeys(("", prefix.rstrip("/"))))
