"""Answer what is not an HTTP request: aiohttp's own answer would be a text with the request line in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web

HARD: Final = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
"""Make browsers rely on the content type of every answer, and show none inside another page."""
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: b'{"error":"request","message":"this is no HTTP request"}',
    HTTPStatus.INTERNAL_SERVER_ERROR: b'{"error":"internal","message":"this could not be answered; the log says why"}',
}


class _InOurWords(web.RequestHandler):
    """aiohttp's handler, whose own answers have the form of all others and repeat nothing of the request."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # Called for its log line, and for the error that it raises if an answer has begun.
        super().handle_error(request, status, exc, message)
        if exc is not None:
            # Its frames refer to objects that refer to it: a reference cycle that is not collected for a long time.
            exc.with_traceback(None)
        answer = web.Response(
            body=_WORDS.get(HTTPStatus(status), _WORDS[HTTPStatus.INTERNAL_SERVER_ERROR]),
            status=status,
            content_type="application/json",
            headers={"Cache-Control": "no-store", **HARD},
        )
        answer.force_close()
        return answer


def in_our_words(handler: web.RequestHandler) -> web.RequestHandler:
    """Make a server's handler answer like this, by changing its class to one with the same layout."""
    handler.__class__ = _InOurWords
    return handler
