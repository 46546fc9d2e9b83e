"""What all public requests have in common: the check of the origin, the refusals, and the CORS headers of both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from bridge.access import codes
from bridge.access.access import Access
from bridge.access.asking import Asking
from bridge.access.origins import Origins
from bridge.access.refused import Refused
from bridge.access.standing import barred
from bridge.events import to_json
from bridge.journal.errors import JournalAway, JournalSpoilt, MailboxBarred, NotLetIn
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
"""How long a question to the journal may keep a browser waiting."""
JOURNAL_FAULTS: Final = (MailboxBarred, JournalSpoilt, JournalAway, NotLetIn, TimeoutError)
"""The faults that :meth:`Reception.in_words` turns into refusals."""
_SAID_AGAIN_S: Final = 60.0
_SAID_MOST: Final = 20

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reception:
    """Wraps the handlers of public requests, and answers those that are refused."""

    def __init__(self, *, access: Access, origins: Origins, metrics: Metrics) -> None:
        self._spoilt: dict[str, float] = {}
        self._access = access
        self._origins = origins
        self._metrics = metrics

    def by_cookie(self, request: Asking) -> bool:
        """Whether the credential is one that a browser sends whichever page asks."""
        return self._access.goes_along(request)

    def guarded(self, answer: Answer) -> Answer:
        """Wrap a handler: check the origin, limit the time, and turn faults and refusals into answers."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            origin = None
            try:
                origin = self._origins.check(request, cookie=self.by_cookie(request))
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        response = await answer(request)
                except JOURNAL_FAULTS as error:
                    raise self.in_words(error) from error
            except Refused as refused:
                return self.refuse(request, refused, origin)
            response.headers.update(self._origins.cors_headers(origin))
            return response

        return guarded

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Answer ``OPTIONS``, by which a browser asks what a page of another origin may do."""
        try:
            origin = self._origins.check(request, cookie=False)
        except Refused as refused:
            return self.refuse(request, refused)
        return web.Response(status=204, headers=self._origins.preflight_headers(origin))

    def turned_away(self, refused: Refused) -> None:
        """Count a refusal that a page gets as a close code."""
        self._count(refused)
        self._metrics.edge_turned_away[refused.code].inc()

    def in_words(self, error: Exception) -> Refused:
        """The refusal that a fault of the journal becomes for a browser."""
        if isinstance(error, MailboxBarred):
            return barred()
        if isinstance(error, JournalSpoilt):
            self._say_spoilt(str(error))
            return Refused(503, codes.BUSY, "busy", "what is stored of this mailbox cannot be read", retry_after_s=60)
        return Refused(503, codes.BUSY, "busy", "Redis does not answer, come later", retry_after_s=3)

    def _say_spoilt(self, why: str) -> None:
        """Log it, once a minute for each reason: browsers keep coming back."""
        now = asyncio.get_running_loop().time()
        self._spoilt = {each: at for each, at in self._spoilt.items() if now - at < _SAID_AGAIN_S}
        if why not in self._spoilt and len(self._spoilt) < _SAID_MOST:
            self._spoilt[why] = now
            log.error("a mailbox cannot be read", extra={"error": why})

    def _count(self, refused: Refused) -> None:
        self._metrics.edge_refusals[refused.label].inc()

    def refuse(self, request: web.Request, refused: Refused, origin: str | None = None) -> web.Response:
        """A refusal as JSON, with its status."""
        self._count(refused)
        headers = self._origins.cors_headers(origin)
        if refused.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="exmail-bridge"'
        if refused.retry_after_s is not None:
            headers["Retry-After"] = str(refused.retry_after_s)
        response = json_answer({"error": refused.label, "message": refused.message}, status=refused.status)
        response.headers.update(headers)
        return response


def json_answer(value: object, status: int = 200) -> web.Response:
    """An answer that no cache keeps."""
    return web.Response(
        body=to_json(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
    )
