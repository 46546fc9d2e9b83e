"""Put documents on the wire: plain HTTP responses, and the four readings of how pushes follow (pure).

No web framework writes a response that nobody asked for, or JSON behind a finished one; so these bytes are ours.
"""

from __future__ import annotations

from random import Random

from bridge.simulator.dialect import Dialect, Framing

_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"} | {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def response(body: bytes, dialect: Dialect, *, status: int = 200, close: bool = False, date: str = "") -> bytes:
    """A complete response with Content-Length, and a ``Date`` where one is given."""
    head = _head(dialect, status=status, close=close)
    if date:
        head += f"Date: {date}\r\n".encode()
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def opening(document: bytes, framing: Framing, dialect: Dialect) -> bytes:
    """The answer to a listen request: the head and the first document."""
    match framing:
        case Framing.STREAM_CHUNKED:
            head = _head(dialect, status=200, close=False) + b"Transfer-Encoding: chunked\r\n\r\n"
            return head + chunk(document + dialect.separator.encode())
        case Framing.STREAM_CLOSE:
            return _head(dialect, status=200, close=True) + b"\r\n" + document + dialect.separator.encode()
        case Framing.SAME_SOCKET | Framing.LONG_POLL | Framing.BARE:
            return response(document, dialect)


def following(document: bytes, framing: Framing, dialect: Dialect, random: Random) -> bytes:
    """A later document of the same listen session."""
    match framing:
        case Framing.SAME_SOCKET | Framing.LONG_POLL:
            return response(document, dialect)
        case Framing.STREAM_CHUNKED:
            text = document + dialect.separator.encode()
            if not dialect.split_chunks:
                return chunk(text)
            at = random.randrange(1, len(text))
            return chunk(text[:at]) + chunk(text[at:])
        case Framing.STREAM_CLOSE | Framing.BARE:
            return document + dialect.separator.encode()


def ending(framing: Framing) -> bytes:
    """What stands before an orderly end of the connection."""
    return b"0\r\n\r\n" if framing is Framing.STREAM_CHUNKED else b""


def has_open_body(framing: Framing) -> bool:
    """Whether the listen response lasts as long as the session, so that no further request may be sent on it."""
    return framing in (Framing.STREAM_CHUNKED, Framing.STREAM_CLOSE)


def chunk(text: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(text), text)


def _head(dialect: Dialect, *, status: int, close: bool) -> bytes:
    kind = "" if dialect.content_type is None else f"Content-Type: {dialect.content_type}\r\n"
    connection = "close" if close else "keep-alive"
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}\r\n{kind}Connection: {connection}\r\n".encode("latin-1")
