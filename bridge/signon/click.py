"""What a click asks for, read from its request alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from aiohttp import hdrs, web

from bridge.signon.verdict import TurnedAway, Verdict

_LONGEST_MAIL_ID: Final = 256
_PURPOSES: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_BEFOREHAND: Final = ("prefetch", "prerender", "preview")
_PARTS_OF_PAGES: Final = ("image/", "audio/", "video/", "font/", "text/css")
_FRAMES: Final = ("iframe", "frame", "fencedframe", "embed", "object")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who clicks, proved. ``mailbox`` is a normalised address; ``sid`` the OA's session.

    ``turned_away``: the credential is good, but not for the mailbox that was asked for; ``mailbox`` is the visitor's
    own then.
    """

    mailbox: str
    sid: str | None
    scope: frozenset[str]
    turned_away: Verdict | None = None


class Ledger(Protocol):
    """What is kept of clicks, the same for all processes. If it cannot be reached it raises ``ConnectionError``."""

    async def account(self, mailbox: str) -> tuple[str, bool]: ...

    async def count(self, account: str) -> tuple[int, float]: ...

    async def record(self, entry: Mapping[str, str]) -> None: ...


def read_mail_id(request: web.Request) -> str:
    """The mail to open, as the provider's MailId; ``""`` for the inbox.

    Raises:
        TurnedAway: no MailId could look like that.
    """
    given = request.query.getall("mailid", [""])
    # isprintable: no control characters, line ends or marks that turn the direction of writing.
    if len(given) > 1 or len(given[0]) > _LONGEST_MAIL_ID or not given[0].isprintable():
        detail = f"mailid is one MailId: at most {_LONGEST_MAIL_ID} printable characters"
        raise TurnedAway(Verdict("request", 400, "mailid", detail))
    return given[0]


def require_person(request: web.Request) -> None:
    """Check that a person follows a link and will see the answer. An image in a wiki page, a script or a browser that
    prefetches would have keys fetched, fill the record and use up the person's rate.

    Over plain http browsers do not send a request's mode. There an image or a style is known by what it accepts; a
    script in the OA's own pages is not known. Browsers ignore ``X-Frame-Options`` on a redirect, so frames are refused
    here.

    Raises:
        TurnedAway: nobody clicked, or the mailbox would open inside another page.
    """
    purpose = " ".join(request.headers.get(name, "") for name in _PURPOSES).lower()
    if any(word in purpose for word in _BEFOREHAND):
        raise TurnedAway(Verdict("request", 503, "prefetch", "a mailbox is opened by a click, not beforehand"))
    mode, accept = request.headers.get("Sec-Fetch-Mode"), request.headers.get(hdrs.ACCEPT, "").lower()
    if mode not in (None, "navigate"):
        by = request.headers.get(hdrs.ORIGIN) or request.headers.get("Sec-Fetch-Site", "unknown")
        detail = f"a mailbox opens where a person follows a link, not for a script or an image: {mode!a} by {by!a}"
        raise TurnedAway(Verdict("refused", 403, "mode", detail))
    if mode is None and "text/html" not in accept and any(kind in accept for kind in _PARTS_OF_PAGES):
        raise TurnedAway(Verdict("refused", 403, "mode", "a mailbox opens in a window, and is no image or style"))
    if request.headers.get("Sec-Fetch-Dest") in _FRAMES:
        raise TurnedAway(Verdict("request", 403, "frame", "a mailbox opens in a window, not in a frame"))


def is_navigation(request: web.Request) -> bool:
    """Whether a person follows a link, as far as the browser says; a foreign page may hold one."""
    return request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
