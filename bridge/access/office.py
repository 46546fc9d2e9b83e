"""Who asks, as the OA says: it is shown the cookies of its own session, and answers whose session that is.

An answer holds for the ``ttl`` that it names. Open connections ask again before that is over, so whoever signs out
loses them. An OA that gives no answer says nothing about anybody: those who are in stay for a while, and who comes anew
is told to come later.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import hdrs

from bridge.access import codes
from bridge.access.access import read_identity
from bridge.access.asking import Asking
from bridge.access.cookies import cookie_pairs
from bridge.access.identity import Asked, Identity
from bridge.access.refused import Refused, quoted
from bridge.events import from_json
from bridge.obs.lasting import Lasting
from bridge.obs.metrics import Metrics

log = logging.getLogger(__name__)

MOST_BYTES: Final = 16_384
MOST_OPEN: Final = 50
_MOST_KEPT: Final = 10_000
MOST_WAITING: Final = 1_000
_MOST_COOKIES: Final = 8192
_MOST_SID: Final = 256
_ASK_S: Final = 5.0
_TTL_S: Final = 60.0
_LEAST_TTL_S: Final = 1.0
_MOST_TTL_S: Final = 3600.0
_LATER_S: Final = 3


class OfficeAway(Exception):
    """The OA gives no answer that can be used. ``detail``, which names hosts, is for operators."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why)
        self.detail = detail or why


class AskedOffice:
    """Asks ``url`` about the cookies called ``names``, inside ``async with``.

    ``keep_s``: how long an open connection may go on after its answer has ended, while there is no new one. ``now``:
    epoch seconds; ``clock``: monotonic seconds; ``reason`` describes a network error. Each question is counted once,
    however many wait for its answer.
    """

    def __init__(
        self,
        url: str,
        names: Sequence[str],
        *,
        session: aiohttp.ClientSession,
        metrics: Metrics,
        keep_s: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        reason: Callable[[BaseException], str] = repr,
    ) -> None:
        self._url = url
        self._names = frozenset(names)
        self._session = session
        self._metrics = metrics
        self._keep_s = keep_s
        self._now = now
        self.clock = clock
        self._reason = reason
        self._kept: OrderedDict[bytes, Identity] = OrderedDict()
        self._flights: dict[bytes, asyncio.Task[Identity | Refused]] = {}
        self._open = asyncio.Semaphore(MOST_OPEN)
        self._tasks = asyncio.TaskGroup()
        self._silent = Lasting(clock=self.clock)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for flight in self._flights.values():
            flight.cancel()
        # The body's error leaves as itself, not inside a group.
        await self._tasks.__aexit__(None, None, None)

    def speaks(self, request: Asking) -> bool:
        """Whether the browser sent one of the OA's cookies."""
        return bool(self._cookies(request))

    async def identify(self, request: Asking) -> Identity:
        """Whose session the cookies are, by an answer that still holds or by a new one.

        Raises:
            Refused: nobody's (401), or it cannot be known now (503).
        """
        cookies = self._cookies(request)
        key = hashlib.sha256(cookies.encode()).digest()
        kept = self._kept.get(key)
        if kept is not None and kept.asked is not None and self._now() < kept.asked.holds_until:
            self._kept.move_to_end(key)
            return kept
        return await self._ask(key, cookies)

    async def again(self, asked: Asked) -> Identity:
        """Whose session it is now; ``asked`` is of an earlier answer.

        Raises:
            Refused: as :meth:`identify`.
        """
        kept = self._kept.get(asked.key)
        if kept is not None and kept.asked is not None and self.clock() < kept.asked.again_at:
            return kept
        return await self._ask(asked.key, asked.cookies)

    def _cookies(self, request: Asking) -> str:
        """The OA's cookies as the browser sent them: which of two of a name counts is the OA's affair."""
        found = "; ".join(f"{name}={value}" for name, value in cookie_pairs(request) if name in self._names and value)
        # What is no text cannot be sent on.
        return found if len(found) <= _MOST_COOKIES and found.isprintable() else ""

    async def _ask(self, key: bytes, cookies: str) -> Identity:
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= MOST_WAITING:
                self._metrics.office_questions["full"].inc()
                raise _later("too many browsers are being asked about")
            flight = self._tasks.create_task(self._fly(key, cookies), name="question to the OA")
            self._flights[key] = flight
            flight.add_done_callback(partial(self._landed, key))
        # Whoever stops waiting leaves the question to the others.
        found = await asyncio.shield(flight)
        if isinstance(found, Refused):
            # Each has his own: an exception that several raise grows a traceback of all of them.
            raise Refused(
                found.status, found.code, found.label, found.message, retry_after_s=found.retry_after_s
            ) from None
        return found

    def _landed(self, key: bytes, flight: asyncio.Task[Identity | Refused]) -> None:
        del self._flights[key]
        if flight.cancelled() or flight.exception() is not None:
            return
        found = flight.result()
        if isinstance(found, Identity):
            self._kept[key] = found
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        elif found.status != 503:
            self._kept.pop(key, None)

    async def _fly(self, key: bytes, cookies: str) -> Identity | Refused:
        try:
            async with asyncio.timeout(_ASK_S), self._open:
                # Before the question: what happens meanwhile is newer than the answer.
                now, clock = self._now(), self.clock()
                with self._metrics.office_question_seconds.time():
                    claims = await self._answer(cookies)
            found = self._read(claims, key, cookies, now=now, clock=clock)
            self._metrics.office_questions["known"].inc()
            return found
        except Refused as refused:
            self._metrics.office_questions["nobody" if refused.label == "missing" else "wrong"].inc()
            return refused
        except TimeoutError:
            return self._away(OfficeAway(f"it does not answer within {_ASK_S:.0f} s"))
        except OfficeAway as away:
            return self._away(away)

    async def _answer(self, cookies: str) -> dict[str, Any]:
        """Ask.

        Raises:
            Refused: it is nobody's session.
            OfficeAway: there is no answer, or none that can be used.
        """
        headers = {hdrs.COOKIE: cookies, hdrs.ACCEPT: "application/json", hdrs.ACCEPT_ENCODING: "identity"}
        try:
            # A redirect would take the cookies to another host, or show a page for signing in.
            async with self._session.get(self._url, headers=headers, allow_redirects=False) as answer:
                if answer.status in (401, 403):
                    raise Refused(401, codes.NO_CREDENTIAL, "missing", "the OA knows nobody by these cookies")
                if answer.status != 200:
                    raise OfficeAway(f"it answers with status {answer.status}, which is neither 200 nor 401")
                if answer.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
                    raise OfficeAway("its answer is compressed, though that was not asked for")
                document = bytearray()
                async for piece in answer.content.iter_any():
                    document += piece
                    if len(document) > MOST_BYTES:
                        raise OfficeAway(f"it answers with more than {MOST_BYTES} bytes")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise OfficeAway("it cannot be reached", f"it cannot be reached: {self._reason(error)}") from error
        try:
            claims = from_json(bytes(document))
        except ValueError:
            claims = None
        if not isinstance(claims, dict):
            # Login pages and pages about maintenance come with 200 too, so this says nothing about who asks.
            raise OfficeAway("it answers 200 with something else than a JSON object")
        return claims

    def _read(self, claims: dict[str, Any], key: bytes, cookies: str, *, now: float, clock: float) -> Identity:
        """Who that is.

        Raises:
            Refused: the answer names nobody in the way that it should.
        """
        ttl_s = claims.get("ttl", _TTL_S)
        if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or not math.isfinite(ttl_s):
            raise _wrong(f"'ttl' must be a number of seconds, not {quoted(ttl_s)}")
        ttl_s = min(max(float(ttl_s), _LEAST_TTL_S), _MOST_TTL_S)
        sid = claims.get("sid")
        if isinstance(sid, str) and len(sid) > _MOST_SID:
            raise _wrong(f"'sid' is longer than {_MOST_SID} characters")
        # Only these: what else it says, a scope for instance, is not its to give.
        said = {"mailbox": claims.get("mailbox"), "mailboxes": claims.get("mailboxes"), "sid": sid, "exp": now}
        found = read_identity(said, claim="mailbox", session=sid if isinstance(sid, str) else "")
        # Those who came together do not ask together.
        again_s = ttl_s * random.uniform(0.6, 0.8)  # noqa: S311 - no secret
        asked = Asked(key, cookies, now + ttl_s, clock + again_s)
        return replace(found, expires=now + ttl_s + self._keep_s, issued=now, asked=asked)

    def _away(self, away: OfficeAway) -> Refused:
        self._metrics.office_questions["away"].inc()
        if self._silent.is_due():
            log.warning("the OA does not say who asks", extra={"why": away.detail})
        return _later(str(away))


def _later(why: str) -> Refused:
    return Refused(503, codes.BUSY, "oa", f"the OA does not say who asks: {why}", retry_after_s=_LATER_S)


def _wrong(what: str) -> Refused:
    return Refused(401, codes.INVALID_TOKEN, "claim", f"the OA's answer: {what}")
