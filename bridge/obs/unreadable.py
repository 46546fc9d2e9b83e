"""What is no HTTP request, answered in our words: aiohttp's own answer is a text with the request line in it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web

HARD: Final = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
"""A browser takes every answer for what its type says, and shows none within another page."""
_WORDS: Final = {
    HTTPStatus.BAD_REQUEST: b'{"error":"request","message":"this is no HTTP request"}',
    HTTPStatus.INTERNAL_SERVER_ERROR: b'{"error":"internal","message":"this could not be answered; the log says why"}',
}


class _InOurWords(web.RequestHandler):
    """aiohttp's handler; what it answers by itself has the shape of all else, and nothing of a request comes back."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # For its log line, and for its error where an answer has begun.
        super().handle_error(request, status, exc, message)
        if exc is not None:
            # Its frames hold what it was raised for, which holds it: a circle that nobody collects for a long time.
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
    """Have a handler that a server made answer so; a class of the same shape is the one way."""
    handler.__class__ = _InOurWords
    return handler
