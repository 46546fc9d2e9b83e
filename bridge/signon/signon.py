"""``GET /mail/open``: from a click to the provider's one-click login.

The login link is made for this click and goes into one ``Location`` header; it is in no log, no record and no cache.
A login is recorded before it takes place: if it cannot be recorded, it does not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from aiohttp import hdrs, web

from bridge.access.mounting import mount_points
from bridge.access.whence import Trusted, client_address
from bridge.events import timestamp, to_json
from bridge.obs.metrics import Metrics
from bridge.provider.faults import ProviderError
from bridge.provider.login import Login
from bridge.signon.click import Ledger, Visitor, read_mail_id, require_person
from bridge.signon.door import Door
from bridge.signon.page import POLICY, render
from bridge.signon.verdict import OPENED, TurnedAway, Verdict, journal_away, provider_failed, too_many
from bridge.signon.words import BY_LANGUAGE, ENGLISH, cause, language_of

log = logging.getLogger(__name__)

DOOR_S: Final = 10.0
PROVIDER_S: Final = 10.0
PATH: Final = "/mail/open"

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(slots=True)
class _Trail:
    """What is known of a click so far. Without an ``account`` nobody is proved, and the click is not recorded."""

    address: str
    account: str = ""
    sid: str = ""
    recorded: bool = True


class SignOn:
    """Serves the clicks.

    ``login_page`` is the provider's own, for people who are not let in here. ``scope``: what a credential must carry,
    if anything. ``clicks_a_minute`` is for one mailbox, counted over all processes that share the ledger.
    """

    def __init__(
        self,
        *,
        door: Door,
        login: Login,
        ledger: Ledger,
        metrics: Metrics,
        login_page: str,
        scope: str | None,
        clicks_a_minute: Callable[[], int],
        trusted_proxies: Trusted,
        provider_s: float = PROVIDER_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._door = door
        self._login = login
        self._ledger = ledger
        self._metrics = metrics
        self._login_page = login_page
        self._scope = scope
        self._clicks_a_minute = clicks_a_minute
        self._trusted = trusted_proxies
        self._provider_s = provider_s
        self._now = now

    def mount(self, app: web.Application, prefix: str = "") -> None:
        """Add the route, at the root and below ``prefix``. HEAD is refused: it must not fetch a key."""
        for each in mount_points(prefix):
            app.router.add_get(f"{each}{PATH}", self.open, allow_head=False)

    async def open(self, request: web.Request) -> web.Response:
        """Answer one click: with a redirect, or with a page that says why not."""
        began = time.monotonic()
        trail = _Trail(client_address(request, self._trusted()))
        location = ""
        try:
            location = await self._let_in(request, trail)
            verdict = OPENED
        except TurnedAway as turned_away:
            verdict = turned_away.verdict
        except ConnectionError as error:
            verdict = journal_away(error)
        verdict = await self._recorded(trail, verdict)
        seconds = time.monotonic() - began
        self._metrics.signon_clicks[verdict.result].inc()
        self._metrics.signon_seconds.observe(seconds)
        # Without the session: logs travel further than the record, and some OAs use their session's secret as its name.
        log.info(
            "click on a mail",
            extra={
                "result": verdict.result,
                "mailbox": trail.account,
                "address": trail.address,
                "reason": verdict.reason,
                "seconds": round(seconds, 3),
            },
        )
        if verdict is OPENED:
            return web.Response(status=OPENED.status, headers=_HEADERS | {hdrs.LOCATION: location})
        return self._explain(request, verdict)

    async def _let_in(self, request: web.Request, trail: _Trail) -> str:
        """The address of the provider's login for whoever asks.

        Raises:
            TurnedAway: the click ends here.
            ConnectionError: the ledger or the tickets cannot be reached.
        """
        mail_id = read_mail_id(request)
        require_person(request)
        visitor = await self._admitted(request)
        account, barred = await self._ledger.account(visitor.mailbox)
        trail.account, trail.sid = account, visitor.sid or ""
        clicks, wait_s = await self._ledger.count(account)
        most = self._clicks_a_minute()
        if clicks > most:
            # Once a minute: the record is bounded, and a page in a loop must not push all others out of it.
            trail.recorded = clicks == most + 1
            raise TurnedAway(too_many(wait_s))
        if visitor.turned_away is not None:
            raise TurnedAway(visitor.turned_away)
        if barred:
            raise TurnedAway(Verdict("refused", 403, "barred", "the account of this mailbox is disabled or deleted"))
        if self._scope is not None and self._scope not in visitor.scope:
            detail = f"the token does not carry the scope {self._scope!r}"
            raise TurnedAway(Verdict("scope", 403, "scope", detail))
        try:
            async with asyncio.timeout(self._provider_s):
                return await self._login.link(account, mail_id)
        except (ProviderError, TimeoutError) as error:
            raise TurnedAway(provider_failed(error)) from error

    async def _admitted(self, request: web.Request) -> Visitor:
        try:
            async with asyncio.timeout(DOOR_S):
                return await self._door.admit(request)
        except TimeoutError as error:
            raise TurnedAway(journal_away(error)) from error

    async def _recorded(self, trail: _Trail, verdict: Verdict) -> Verdict:
        """Record a click of somebody who is proved; return the verdict, which changes if a login cannot be recorded.

        The mail is left out: the record says who was let into which mailbox, not what people read.
        """
        if not trail.account or not trail.recorded or verdict.result == "journal":
            return verdict
        try:
            await self._ledger.record(
                {
                    "time": timestamp(self._now()),
                    "mailbox": trail.account,
                    "sid": trail.sid,
                    "address": trail.address,
                    "result": verdict.result,
                }
            )
        except ConnectionError as error:
            return journal_away(error) if verdict is OPENED else verdict
        return verdict

    def _explain(self, request: web.Request, verdict: Verdict) -> web.Response:
        headers = _HEADERS | {hdrs.VARY: "Accept, Accept-Language"}
        if verdict.retry_after_s is not None:
            headers[hdrs.RETRY_AFTER] = str(verdict.retry_after_s)
        if verdict.status == 401:
            headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="exmail-bridge"'
        if "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
            message = verdict.detail or " ".join(ENGLISH.causes[cause(verdict)])
            body = to_json({"error": verdict.result, "message": message})
            return web.Response(body=body, status=verdict.status, content_type="application/json", headers=headers)
        words = BY_LANGUAGE[language_of(request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))]
        page = render(verdict, words, login_page=self._login_page, again=_again(request))
        headers["Content-Language"] = words.lang
        return web.Response(text=page, status=verdict.status, content_type="text/html", headers=headers)


def _again(request: web.Request) -> str | None:
    """The same click as a relative address; ``None`` if it had a ticket, which is spent and must not be on a page."""
    if "ticket" in request.query:
        return None
    kept = [(name, value) for name, value in request.query.items() if name in ("mailid", "mailbox")]
    return f"?{urlencode(kept)}"
