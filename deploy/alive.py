"""A container's health: ``/livez`` of whatever part runs in it.

The image has no curl, and does not know whether it was started as a worker, as an edge or as sign-on: the one admin
port that is open decides. Liveness only: a container must not be restarted because Redis or the provider is away.
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


def alive(port: int) -> bool:
    """Say whether the process behind an admin port says that it lives."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def main() -> int:
    """Return the exit code for ``HEALTHCHECK``: 0 alive, 1 not."""
    ports = [int(os.environ.get(name, "").rpartition(":")[2] or port) for name, port in PORTS.items()]
    return 0 if any(alive(port) for port in ports) else 1


if __name__ == "__main__":
    sys.exit(main())
