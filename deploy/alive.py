"""A container's health: ``/livez`` of whatever part runs in it.

The image has no curl, and does not know whether it was started as a worker, as an edge or as sign-on: the one admin
port that is open decides. Liveness only: a container must not be restarted because Redis or the provider is away.
Only the environment is looked at: in a container a settings file must leave the admin ports where they are.
"""

from __future__ import annotations

import http.client
import os
import sys
from typing import Final

PORTS: Final = {
    "BRIDGE_WORKER_ADMIN_LISTEN": 9101,
    "BRIDGE_EDGE_ADMIN_LISTEN": 9102,
    "BRIDGE_SIGNON_ADMIN_LISTEN": 9103,
}
"""Settings that move an admin port, and where it is without them."""


def whereabouts(listen: str, port: int) -> tuple[str, int]:
    """Return where a process answers that was told to listen there; ``port``: the one it has unless told."""
    host, _, told = listen.rpartition(":")
    host = host.strip("[]")
    # Everywhere is also here, but of IPv6 alone the admin port's "::" is.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return host, int(told or port)


def alive(host: str, port: int) -> bool:
    """Say whether the process behind an admin port says that it lives."""
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Return the exit code for ``HEALTHCHECK``: 0 alive, 1 not."""
    places = [whereabouts(os.environ.get(name, ""), port) for name, port in PORTS.items()]
    return 0 if any(alive(*place) for place in places) else 1


if __name__ == "__main__":
    sys.exit(main())
