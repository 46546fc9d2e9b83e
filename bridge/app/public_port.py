"""The port that browsers, or the proxy, connect to."""

from __future__ import annotations

import socket
from typing import Final

from bridge.settings import Address

LISTEN_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: all browsers come back at once after a restart."""


def bind(address: Address) -> socket.socket:
    """Take the public port.

    Raises:
        OSError: it is in use, or not ours to open; the text names the address.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound, not listening yet: until Redis answers, a proxy should be refused, not kept waiting.
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """The URL of a socket that is bound."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
