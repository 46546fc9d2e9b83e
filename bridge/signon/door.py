"""Who clicks: proved by a credential, on a page that may ask, and the same person as when the credential was made."""

from __future__ import annotations

from aiohttp import web

from bridge.access.access import Access, Identity
from bridge.access.chosen import chosen
from bridge.access.origins import Origins
from bridge.access.refused import Refused
from bridge.access.standing import require_standing
from bridge.journal.errors import JournalError
from bridge.journal.standing import Asker, Standings
from bridge.obs.labels import Click
from bridge.signon.click import Visitor, is_navigation
from bridge.signon.verdict import TurnedAway, Verdict


class Door:
    """Access, origins and standing, in the words of sign-on. A ticket is spent here, whatever follows."""

    def __init__(self, access: Access, origins: Origins, standings: Standings, *, kick_s: int) -> None:
        self._access = access
        self._origins = origins
        self._standings = standings
        self._kick_s = kick_s

    async def admit(self, request: web.Request) -> Visitor:
        """Return who clicks.

        Raises:
            TurnedAway: nobody is proved, or the page may not ask.
            ConnectionError: tickets cannot be looked at now.
        """
        try:
            by_cookie = self._access.goes_along(request)
            self._origins.check(request, cookie=by_cookie, navigation=is_navigation(request))
            identity = await self._access.identify(request)
        except Refused as refused:
            raise TurnedAway(_verdict(refused)) from None
        except JournalError as error:
            raise ConnectionError(str(error)) from error
        mailbox, turned_away = identity.mailboxes[0], None
        try:
            mailbox = await chosen(self._access, self._standings, identity, request.query.get("mailbox"))
        except Refused as refused:
            turned_away = _verdict(refused)
        except JournalError as error:
            raise ConnectionError(str(error)) from error
        await self._require_standing(identity, mailbox)
        return Visitor(mailbox, identity.sid, identity.scope, turned_away)

    async def _require_standing(self, identity: Identity, address: str) -> None:
        try:
            [standing] = await self._standings.look([Asker(address, identity.session)])
        except JournalError as error:
            raise ConnectionError(str(error)) from error
        try:
            # A barred account is refused later, by sign-on itself: it records whose click that was.
            require_standing(identity, standing._replace(barred=False), window_s=self._kick_s)
        except Refused as refused:
            raise TurnedAway(_verdict(refused)) from None


def _verdict(refused: Refused) -> Verdict:
    # 503: the OA's published keys cannot be had, so nobody can be proved; it is not the visitor's fault.
    result: Click = "journal" if refused.status == 503 else "refused"
    return Verdict(result, refused.status, refused.label, refused.message, refused.retry_after_s)
