"""What the kernel has of a connection: its descriptor, and how much of what we wrote it still has to deliver."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios


def descriptor_of(transport: asyncio.Transport) -> int:
    """The descriptor of a socket that may be written to while its transport has nothing to write; else -1.

    The transports of asyncio itself write at once what the kernel takes, so that nothing is overtaken. Others keep what
    they are given for a moment (uvloop), or change it on its way (TLS).
    """
    sock = transport.get_extra_info("socket")
    if sock is None or type(transport).__module__ != "asyncio.selector_events":
        return -1
    descriptor: int = sock.fileno()
    return descriptor


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not acknowledged yet; 0 if the kernel cannot say (not TCP, not Linux)."""
    descriptor = transport.get_extra_info("descriptor")
    if descriptor is None:
        known = transport.get_extra_info("socket")
        descriptor = -1 if known is None else known.fileno()
    try:
        sock = socket.socket(fileno=descriptor)
        try:
            if sock.family not in (socket.AF_INET, socket.AF_INET6):
                return 0
            answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
        finally:
            # The number is the transport's.
            sock.detach()
    except (OSError, ValueError):
        return 0
    waiting: int = struct.unpack("i", answer)[0]
    return waiting
