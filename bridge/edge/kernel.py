"""How much of what we wrote the kernel still has to deliver."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not acknowledged yet; 0 if the kernel cannot say (not TCP, not Linux)."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    waiting: int = struct.unpack("i", answer)[0]
    return waiting
