"""Take a socket over from aiohttp after the handshake.

A connection that lives for hours should not keep a request, a parser, a task and their buffers: it needs 2 KB then
instead of 15. aiohttp has no public way to do this. One private name is used (``RequestHandler._message_tail``, what a
client sent right behind its handshake), and ``connection_lost`` is called so that the handler releases everything.
pyproject.toml bounds aiohttp's version, and tests/edge/test_handover.py notices if aiohttp changes.
"""

from __future__ import annotations

import asyncio

from aiohttp import web


class Gone(Exception):
    """The client left before the socket could be taken over."""


def take_socket(request: web.Request) -> tuple[asyncio.Transport, bytes]:
    """Take the socket over; return it with the bytes that the client has already sent behind its request.

    The caller must set a protocol at once and write the whole response itself, status line included. Whatever the
    request's handler returns afterwards is not written.

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
