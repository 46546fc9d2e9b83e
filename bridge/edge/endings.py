"""``POST /logout`` and ``POST /kick``: end sessions before their tokens expire, on every edge.

Redis holds which sessions have ended, and every request is checked against it. A message on a channel only tells the
edges to check again.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import hdrs, web

from bridge.access import codes
from bridge.access.access import Access
from bridge.access.mounting import mount_points
from bridge.access.refused import Refused, quoted
from bridge.edge.reception import Reception
from bridge.events import from_json, normalise_address
from bridge.journal.standing import Standings

SCOPE: Final = "kick"
"""What a program's token must carry to end other people's sessions."""
_MOST_BYTES: Final = 16_384


class Endings:
    """Ends sessions.

    ``kick_s``: for how long a session is kept out. ``cookie``: the name of our cookie, cleared at ``cookie_path``.
    """

    def __init__(
        self,
        *,
        access: Access,
        reception: Reception,
        standings: Standings,
        kick_s: int,
        cookie: str,
        cookie_path: str = "/",
        prefix: str = "",
    ) -> None:
        self._access = access
        self._reception = reception
        self._standings = standings
        self._kick_s = kick_s
        self._mount_points = mount_points(prefix)
        self._cleared = cleared_cookie(cookie, path=cookie_path)

    def mount(self, app: web.Application) -> None:
        """Add the routes, at the root and below the public URL's path prefix."""
        for prefix in self._mount_points:
            for path, answer in (("/logout", self.logout), ("/kick", self.kick)):
                app.router.add_post(prefix + path, self._reception.guarded(answer))
                app.router.add_route(hdrs.METH_OPTIONS, prefix + path, self._reception.preflight)

    async def logout(self, request: web.Request) -> web.StreamResponse:
        """``POST /logout``: end the session that the credential was signed for; an expired signature will do.

        Where a proxy says who asks, or the OA and names no session, all connections of the mailbox end, for one of
        them would go on to show its mails to the next person.
        """
        if self._access.credential(request) in ("header", "oa"):
            identity = await self._access.identify(request)
            mailbox = "" if identity.session else identity.mailboxes[0]
            await self._standings.kick(mailbox=mailbox, session=identity.session, kept_s=self._kick_s)
        for session in await self._access.sessions(request):
            await self._standings.kick(session=session, kept_s=self._kick_s)
        return web.Response(status=204, headers={hdrs.SET_COOKIE: self._cleared, hdrs.CACHE_CONTROL: "no-store"})

    async def kick(self, request: web.Request) -> web.StreamResponse:
        """``POST /kick``: end a mailbox's connections, a session, or a session's connections to a mailbox."""
        await self._access.require_scope(request, SCOPE)
        mailbox, session = read_kick(await _body(request))
        await self._standings.kick(mailbox=mailbox, session=session, kept_s=self._kick_s)
        return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})


def read_kick(body: bytes) -> tuple[str, str]:
    """Read ``(mailbox, session)`` from the body of a kick; ``""`` for the one that it does not name.

    Raises:
        Refused: it names neither, or has unknown members: a misspelt one must not end a whole mailbox's connections.
    """
    try:
        asked = from_json(body)
    except ValueError as error:
        raise _unreadable(f"the body is not JSON: {error}") from None
    if not isinstance(asked, dict) or not asked or not asked.keys() <= {"mailbox", "sid"}:
        raise _unreadable('the body is {"mailbox": …}, {"sid": …} or both, and nothing else')
    mailbox = _text(asked, "mailbox")
    address = normalise_address(mailbox) if mailbox else ""
    if address is None:
        raise _unreadable(f"mailbox {quoted(mailbox)} is no mail address")
    session = _text(asked, "sid")
    if not address and not session:
        raise _unreadable("neither mailbox nor sid is given")
    return address, session


def cleared_cookie(name: str, *, path: str) -> str:
    """The ``Set-Cookie`` header that removes our cookie; a browser obeys only if it was set with the same path."""
    secure = "; Secure" if name.lower().startswith(("__host-", "__secure-")) else ""
    # A browser accepts a __Host- cookie with the path / only.
    path = "/" if name.lower().startswith("__host-") else path
    return f"{name}=; Path={path}; Max-Age=0; HttpOnly; SameSite=Lax{secure}"


def _text(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise _unreadable(f"{name} must be text, not {quoted(value)}")
    return value or ""


async def _body(request: web.Request) -> bytes:
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise _unreadable("a compressed body is not read")
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            raise _unreadable(f"the body is longer than {_MOST_BYTES} bytes")
    return bytes(body)


def _unreadable(message: str) -> Refused:
    return Refused(400, codes.BAD_REQUEST, "request", message)
