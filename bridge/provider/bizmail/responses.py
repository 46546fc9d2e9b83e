"""Turn what the listen socket gives into body bytes and borders, whatever the framing.

Nobody knows how the provider frames what it pushes (provider-in-practice 2), so all readings work: further responses
that no request asked for, one response a document, one endless response (chunked or until close), and bare JSON
after a complete response. Ordinary HTTP clients drop such bytes or the connection.

httptools consumes all it is given and does not say where a message ended, so it is given pieces that end where a
message may end: then the next byte tells what comes, a header block or a bare document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

import httptools

from ..pushes import Unreadable
from .framer import DocumentTooLarge, Framer

OVERHEAD_LIMIT: Final = 64 * 1024
"""Bytes of headers, chunk sizes or trailers without a byte of body among them that are put up with."""

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")


class Mark(Enum):
    """A border in the stream of body bytes."""

    BEGAN = auto()
    """A response's header block ended; its body is open."""
    COMPLETE = auto()
    """The response is complete."""
    CUT = auto()
    """The connection ended inside a response or a bare document."""


Found = bytes | Mark | Unreadable
"""Body bytes, a border, or a bare document that was too large to be kept."""


class BadResponse(ValueError):
    """This is no HTTP that can be read, or no answer to work with; the connection is of no further use."""


class ResponseReader:
    """Reads one connection's responses, any number of them. No I/O; one reader a connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # Each of these lets something odd through. Never lenient_data_after_close alone: it swallows all that
        # follows a response in silence.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_keep_alive=True,
            lenient_version=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_optional_crlf_after_chunk=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._found: list[Found] = []
        self._bare: Framer | None = None
        self._in_message = False
        self._in_body = False
        self._length: int | None = None  # body bytes still to come, where that was told
        self._chunked = False
        self._encoded = False
        self._overhead = 0
        self.says_close = False
        """Whether the last response announced that the server closes behind it."""

    @property
    def inside(self) -> bool:
        """Whether a header block or a bare document has begun and not ended."""
        return self._bare is not None or (self._in_message and not self._in_body)

    def feed(self, chunk: bytes) -> Iterator[Found]:
        """Take what the socket gave; yield body bytes and borders in order. Exhaust it before feeding again.

        Raises:
            BadResponse, DocumentTooLarge: after everything before the fault was yielded.
        """
        at = 0
        while at < len(chunk):
            fault: ValueError | None = None
            try:
                if self._bare is not None:
                    at = self._feed_bare(chunk, at)
                elif self._in_message:
                    at = self._feed_message(chunk, at)
                else:
                    at = self._between(chunk, at)
            except (BadResponse, DocumentTooLarge) as error:
                fault = error
            yield from self._found
            self._found.clear()
            if fault is not None:
                raise fault

    def end(self) -> list[Found]:
        """The connection ended. A body without a length is complete by that; anything else unfinished was cut.

        Raises:
            DocumentTooLarge: as :meth:`feed` would.
        """
        if self._in_body and self._length is None and not self._chunked:
            self._in_message = self._in_body = False
            return [Mark.COMPLETE]
        if self._bare is not None and (left := self._bare.end()):
            return [left, Mark.CUT]
        return [Mark.CUT] if self._in_message else []

    @property
    def body_is_open(self) -> bool:
        """Whether a response has begun and is not complete."""
        return self._in_body

    def _between(self, chunk: bytes, at: int) -> int:
        while at < len(chunk) and chunk[at] in b" \t\r\n":
            at += 1
        if chunk.startswith(b"{", at):
            self._bare = Framer()
        elif at < len(chunk):
            self._in_message = True
        return at

    def _feed_bare(self, chunk: bytes, at: int) -> int:
        """Only a brace can end a document, so pieces end at braces; what follows a whole one is looked at afresh."""
        assert self._bare is not None
        end = chunk.find(b"}", at) + 1 or len(chunk)
        self._found += self._bare.feed(chunk[at:end])
        if not self._bare.inside:
            self._bare = None
        return end

    def _feed_message(self, chunk: bytes, at: int) -> int:
        if self._in_body and self._length is not None:
            end = at + self._length
        elif self._in_body and not self._chunked:
            end = len(chunk)
        elif not (self._in_body or self._overhead) and (blank := _END_OF_HEAD.search(chunk, at)) is not None:
            end = blank.end()
        else:
            # A header block that did not come whole, or chunks: a message ends at the end of a line.
            end = chunk.find(b"\n", at) + 1 or len(chunk)
        if end <= at:
            # We and the parser count differently; going on would never end.
            raise BadResponse("a body that does not end where it said")
        piece = chunk[at:end]
        self._overhead += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            raise BadResponse("unexpected HTTP 101") from None
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, BadResponse) else BadResponse(f"not HTTP: {error}") from None
        if self._overhead > OVERHEAD_LIMIT:
            raise BadResponse(f"more than {OVERHEAD_LIMIT} bytes of headers")
        return at + len(piece)

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers come here too and change nothing."""
        if self._in_body:
            return
        # The parser lets a blank stand before the colon.
        name = name.strip().lower()
        if name == b"content-length":
            try:
                self._length = int(value)
            except ValueError:
                raise BadResponse("a Content-Length that is no number") from None
        elif name == b"transfer-encoding":
            self._chunked = b"chunked" in value.lower()
            self._encoded = True

    def on_headers_complete(self) -> None:
        """The header block ended; what the status is decides."""
        status = self._parser.get_status_code()
        # An interim answer; what is numbered below that is nothing, and may bring a body.
        if 100 <= status < 200 and status != 101:
            return
        if status != 200:
            raise BadResponse(f"unexpected HTTP {status}")
        # Any transfer encoding, `identity` too, makes the parser read on whatever the length says: until close.
        if self._encoded:
            self._length = None
        self._in_body = True
        self.says_close = not self._parser.should_keep_alive()
        self._found.append(Mark.BEGAN)

    def on_body(self, body: bytes) -> None:
        """Body bytes, chunk sizes taken out."""
        self._overhead = 0
        if self._length is not None:
            self._length -= len(body)
        self._found.append(body)

    def on_message_complete(self) -> None:
        """A message ended; an interim one (1xx) leaves no mark."""
        if self._in_body:
            self._found.append(Mark.COMPLETE)
        self._in_message = self._in_body = self._chunked = self._encoded = False
        self._length = None
        self._overhead = 0
