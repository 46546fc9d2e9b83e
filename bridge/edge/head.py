"""The head of a request for a connection, read by aiohttp's parser without the rest of aiohttp.

Pure: bytes go in, a head comes out, or nothing where there is any doubt. What is not read here is left to aiohttp, so
that nothing has two meanings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final

from aiohttp import HttpVersion11, hdrs
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from multidict import CIMultiDictProxy, MultiMapping

LONGEST: Final = 16_384
"""In bytes. aiohttp's own bounds, on a line and on the number of headers, hold within."""
_END: Final = b"\r\n\r\n"
_UNREAD: Final = 65_536
"""A bound on bodies that the parser asks for; no request with one is read."""
_ELSEWHERE: Final = (hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.EXPECT, hdrs.CONTENT_ENCODING)


class Head:
    """What access asks of a request (:class:`bridge.access.asking.Asking`), as aiohttp's own has it."""

    __slots__ = ("_message", "_query", "headers", "remote")

    def __init__(self, message: RawRequestMessage, remote: str | None) -> None:
        self._message = message
        self._query: MultiMapping[str] | None = None
        self.headers: CIMultiDictProxy[str] = message.headers
        self.remote = remote

    @property
    def query(self) -> MultiMapping[str]:
        """The parameters of the URL."""
        if self._query is None:
            self._query = self._message.url.query
        return self._query

    @property
    def host(self) -> str:
        """What the request says that we are called."""
        return self.headers.get(hdrs.HOST, "")


def read_head(
    data: bytes, paths: Collection[bytes], *, peer: Any, loop: asyncio.AbstractEventLoop
) -> tuple[bytes, Head, int] | None:
    """Read a whole head that asks for one of ``paths``: the path, the head, and how many bytes it has.

    ``peer``: the address at the other end, as sockets have it. ``None``: it is not all there, or is not plain: another
    method or path, a body, another version, or anything that the parser refuses.
    """
    target_ends = data.find(b" ", 4, LONGEST)
    if not data.startswith(b"GET ") or target_ends < 0:
        return None
    path = data[4:target_ends].partition(b"?")[0]
    end = data.find(_END) + len(_END)
    if path not in paths or end < len(_END):
        return None
    # A parser of its own for each: what one client sent must not be able to change how the next one is read.
    parser = HttpRequestParser(None, loop, _UNREAD)
    try:
        messages, upgraded, tail = parser.feed_data(data[:end])
    except HttpProcessingError:
        return None
    # What follows is frames, where that was asked for; elsewhere a next request, and aiohttp reads both or neither.
    if len(messages) != 1 or tail or (len(data) > end and not upgraded):
        return None
    message = messages[0][0]
    headers = message.headers
    if (
        message.method != hdrs.METH_GET
        or message.version != HttpVersion11
        or any(map(headers.__contains__, _ELSEWHERE))
    ):
        return None
    return path, Head(message, str(peer[0]) if isinstance(peer, tuple) else str(peer) if peer else None), end
