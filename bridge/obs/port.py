"""Bind a listening socket, in the same way for browsers, clicks and operators.

Every fault of the address that an operator chose, a name that is not found among them, is an ``OSError`` that the
command line reports in one line.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Final

from bridge.obs.acceptor import of_both_families

_LOOK_UP_S: Final = 5.0
_OURS: Final = (errno.EADDRINUSE, errno.EACCES)


async def take_port(host: str, port: int) -> socket.socket:
    """Bind a socket, which does not listen yet; port 0 takes any free one. Looking up a name takes at most 5 s.

    Raises:
        OSError: EADDRINUSE, EACCES (not ours to open), or EADDRNOTAVAIL for anything else; the text names the address.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    family, address = await _find(host, port, where)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        of_both_families(sock)
        sock.bind(address)
    except OSError as error:
        sock.close()
        number = error.errno if error.errno in _OURS else errno.EADDRNOTAVAIL
        raise OSError(number, f"cannot listen on {where}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


async def _find(host: str, port: int, where: str) -> tuple[int, tuple[Any, ...]]:
    """The address of a host name, an IPv4 one if there is one."""
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
    except (OSError, UnicodeError) as error:
        why = f"its name is not found within {_LOOK_UP_S:.0f} s"
        if not isinstance(error, TimeoutError):
            why = getattr(error, "strerror", None) or str(error)
        raise OSError(errno.EADDRNOTAVAIL, f"cannot listen on {where}: {why}") from None
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address
