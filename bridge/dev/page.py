"""The page of ``dev``, its cookie, and the buttons that drive the simulated provider.

Whoever can press the buttons can rewrite the simulated truth, and with the real provider the cookie opens real
mailboxes. So both are for this machine only: the peer is loopback, no proxy forwarded the request, and ``Host``
names this machine, because a foreign page can have its own name resolve to 127.0.0.1. A foreign page cannot post
either: it has another origin, and JSON as a content type needs a preflight that is never granted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from ipaddress import ip_address
from itertools import cycle
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from bridge.access.access import Refused, Verifier, read_identity
from bridge.access.secret import SecretVerifier, sign
from bridge.events import from_json, to_json
from bridge.settings import Settings
from bridge.simulator import Defect, Kind, Simulator

Accounts = Callable[[], Awaitable[Mapping[str, str]]]
"""The mailboxes that the page may sign itself in for, address → name, the default first."""

_TOKEN_S: Final = 43_200
_MOST_MAILS: Final = 500
_STATIC: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "trial.js": "text/javascript",
    "view.js": "text/javascript",
    "words.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_DEFECTS: Final = (Defect.BAD_UTF8, Defect.BAD_JSON, Defect.LONE_SURROGATE, Defect.UNKNOWN_SHAPE)


class _CommandRefused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class DevPage:
    """Routes of the page. Without a ``simulator`` the provider is real, and nothing can be done to it.

    :attr:`mailbox` is the one that was signed in last.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        simulator: Simulator | None,
        accounts: Accounts,
    ) -> None:
        edge = settings.edge
        self.mailbox: str | None = None
        self._edge = edge
        self._simulator = simulator
        self._accounts = accounts
        self._verifier: Verifier = SecretVerifier(
            edge.jwt_secrets, audience=edge.jwt_audience or None, issuer=edge.jwt_issuer or None
        )
        self._defects = cycle(_DEFECTS)
        static = files("bridge.dev").joinpath("static")
        self._files = {name: static.joinpath(name).read_bytes() for name in ("index.html", *_STATIC)}
        self._commands: dict[str, Callable[[Simulator, Mapping[str, Any]], dict[str, Any]]] = {
            "mail": self._mail,
            "read": self._read,
            "cut": self._cut,
            "expire": self._expire,
            "silence": self._silence,
            "traffic": self._traffic,
            "malformed": self._malformed,
        }

    def mount(self, app: web.Application) -> None:
        """Add the routes: ``/``, ``/dev/…``."""
        app.router.add_get("/", self._show, allow_head=False)
        app.router.add_get("/dev/state", self._state, allow_head=False)
        app.router.add_get("/dev/{name}", self._file, allow_head=False)
        app.router.add_post("/dev/{command}", self._perform)

    async def _show(self, request: web.Request) -> web.Response:
        page = web.Response(
            body=self._files["index.html"],
            content_type="text/html",
            charset="utf-8",
            headers=_HEADERS | {"Content-Security-Policy": _POLICY},
        )
        if self._simulator is None and not is_local(request):
            return web.Response(status=403, text="dev with the real provider serves this machine only\n")
        mailbox = await self._signed_in(request) or next(iter(await self._accounts()), None)
        if mailbox is not None:
            self._sign_in(page, mailbox)
        return page

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _STATIC:
            raise web.HTTPNotFound(text="no such file\n")
        return web.Response(body=self._files[name], content_type=_STATIC[name], charset="utf-8", headers=_HEADERS)

    async def _state(self, request: web.Request) -> web.Response:
        if self._simulator is None and not is_local(request):
            return _refusal(403, "dev with the real provider serves this machine only")
        accounts = await self._accounts()
        simulator = self._simulator
        return _json(
            {
                "mailbox": await self._signed_in(request),
                "mailboxes": [{"address": address, "name": name} for address, name in accounts.items()],
                "simulated": simulator is not None,
                "silence": simulator is not None and simulator.faults.has(Kind.SILENT),
                "traffic": simulator is not None and simulator.traffic.paused,
                "local": is_local(request),
            }
        )

    async def _signed_in(self, request: web.Request) -> str | None:
        """The mailbox of the cookie, if that still holds and the mailbox still exists."""
        try:
            claims = await self._verifier.verify(request.cookies.get(self._edge.cookie, ""))
            mailbox = read_identity(claims, claim=self._edge.jwt_claim).mailboxes[0]
        except Refused:
            return None
        return mailbox if mailbox in await self._accounts() else None

    def _sign_in(self, response: web.Response, mailbox: str) -> None:
        token = sign(
            self._edge.jwt_secrets()[0],
            mailbox,
            lifetime_s=_TOKEN_S,
            claim=self._edge.jwt_claim,
            audience=self._edge.jwt_audience or None,
            issuer=self._edge.jwt_issuer or None,
        )
        response.set_cookie(self._edge.cookie, token, max_age=_TOKEN_S, path="/", httponly=True, samesite="Lax")
        self.mailbox = mailbox

    # -- buttons

    async def _perform(self, request: web.Request) -> web.Response:
        name = request.match_info["command"]
        try:
            _require_own_page(request)
            wanted = _object(await request.read())
            mailbox = wanted.get("mailbox")
            if not isinstance(mailbox, str) or mailbox not in await self._accounts():
                raise _CommandRefused(400, "there is no such mailbox")
            if name == "mailbox":
                response = _json({"mailbox": mailbox})
                self._sign_in(response, mailbox)
                return response
            command = self._commands.get(name)
            if command is None or self._simulator is None:
                raise _CommandRefused(404, f"there is no command {name!r}; with the real provider there is none at all")
            return _json(command(self._simulator, wanted))
        except _CommandRefused as refused:
            return _refusal(refused.status, str(refused))

    def _mail(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        n = wanted.get("n", 1)
        if not isinstance(n, int) or not 1 <= n <= _MOST_MAILS:
            raise _CommandRefused(400, f"n is a number from 1 to {_MOST_MAILS}")
        mails = simulator.world.deliver_many(n, wanted["mailbox"])
        # A mail that no listener was told of is never announced; the page must not wait for it.
        return {"mail_ids": [mail.mail_id for mail in mails if mail.pushed], "mails": n}

    def _read(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        simulator.world.read_all(wanted["mailbox"])
        return {"unread": simulator.world.unread[wanted["mailbox"]]}

    def _cut(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        return {"cut": simulator.cut()}

    def _expire(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        simulator.world.expire_tokens()
        # The provider says so in the middle of the stream; else nothing would show before the next call.
        simulator.push_errcode(1200)
        return {}

    def _silence(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if wanted.get("on"):
            simulator.faults.on(Kind.SILENT, endpoint="listen")
        else:
            simulator.faults.off(Kind.SILENT, endpoint="listen")
        return {"on": simulator.faults.has(Kind.SILENT)}

    def _traffic(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        (simulator.traffic.pause if wanted.get("on") else simulator.traffic.resume)()
        return {"on": simulator.traffic.paused}

    def _malformed(self, simulator: Simulator, wanted: Mapping[str, Any]) -> dict[str, Any]:
        defect = next(self._defects)
        simulator.faults.on(Kind.MALFORMED, endpoint="listen", value=defect, times=1)
        mail = simulator.world.deliver_mail(wanted["mailbox"])
        return {
            "defect": defect,
            "repairable": defect.repairable,
            "mail_ids": [mail.mail_id] if mail.pushed else [],
        }


def is_local(request: web.Request) -> bool:
    """Say whether a request was made on this machine, under one of its own names."""
    if hdrs.FORWARDED in request.headers or hdrs.X_FORWARDED_FOR in request.headers:
        return False
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return _is_loopback(request.remote) and (name == "localhost" or _is_loopback(name))


def _is_loopback(address: str | None) -> bool:
    try:
        return ip_address(address or "").is_loopback
    except ValueError:
        return False


def _require_own_page(request: web.Request) -> None:
    origin = request.headers.get(hdrs.ORIGIN)
    if not is_local(request):
        raise _CommandRefused(403, "buttons work in a browser on this machine only, as localhost or 127.0.0.1")
    if origin not in (None, f"http://{request.host}") or request.headers.get("Sec-Fetch-Site") not in (
        None,
        "same-origin",
    ):
        raise _CommandRefused(403, "another page may not do that")
    if request.content_type != "application/json":
        raise _CommandRefused(415, "the body must be application/json")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = from_json(body)
    except ValueError as error:
        raise _CommandRefused(400, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _CommandRefused(400, "an object is expected")
    return value


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=to_json(value), status=status, content_type="application/json", headers=_HEADERS)


def _refusal(status: int, message: str) -> web.Response:
    return _json({"error": "request", "message": message}, status=status)
