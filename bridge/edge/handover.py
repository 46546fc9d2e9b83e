"""Let aiohttp go of a socket after the handshake.

A connection that lives for hours should not keep a request, a parser, a task and their buffers: 2 KB instead of 15.
aiohttp has no public way to do that. One private name is read here (``RequestHandler._message_tail``: what a client
sent right behind its handshake), and the handler is told that its connection is lost, which is how it lets go of
everything; pyproject.toml bounds aiohttp's version, tests/edge/test_handover.py holds it to what is used.
"""

from __future__ import annotations

import asyncio

from aiohttp import web


class Gone(Exception):
    """The client left before the socket could be taken."""


def take_socket(request: web.Request) -> tuple[asyncio.Transport, bytes]:
    """Take the socket away from aiohttp; return it with the bytes that the client has already sent behind its request.

    From here on the caller writes the response, status line and all, and sets a protocol at once. The request's
    handler then returns any response: it is written nowhere.

    Raises:
        Gone
    """
    handler = request.protocol
    transport = request.transport
    if transport is None or transport.is_closing():
        raise Gone
    early: bytes = handler._message_tail
    handler._message_tail = b""
    # Without a transport the handler can neither close ours nor write to it.
    handler.transport = None
    handler.connection_lost(None)
    transport.resume_reading()
    return transport, early
