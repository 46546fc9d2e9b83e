"""People who are signed in by something before the bridge: the nginx file, and what docs/signing.md adds to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.deploy.programs import ROOT, accepts, running
from tests.docs.pages import Page
from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.nginx import running_nginx
from tests.support.processes import free_port
from tests.support.stage import ANN, BOB, leading_writer, running_edge
from tests.support.waiting import until

SIGNING = Page(ROOT / "docs" / "signing.md")
HEADER = "X-Exmail-Mailbox"
SIGN_IN = "<?php session_start(); $_SESSION['mailbox'] = $_GET['who'];"


@asynccontextmanager
async def proxied(nginx: str, redis_url: str, folder: Path, *, sso: str = "") -> AsyncIterator[str]:
    """An edge that takes the header for who asks, behind nginx; ``sso``: with the page's recipe, for that address."""
    port, edge_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{edge_port}",
        "BRIDGE_EDGE_PUBLIC_URL": f"{url}/exmail/",
        "BRIDGE_EDGE_JWT_SECRET": "",
        "BRIDGE_EDGE_AUTH_HEADER": HEADER,
        "BRIDGE_EDGE_TRUSTED_PROXIES": "loopback",
    }
    recipe = (
        {}
        if not sso
        else {
            f'proxy_set_header {HEADER} "";': SIGNING.block("nginx", holding="auth_request_set"),
            "location @exmail_away {": SIGNING.block("nginx", holding="@exmail_nobody").replace(
                "127.0.0.1:4180/oauth2/auth", sso
            )
            + "location @exmail_away {",
        }
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(leading_writer(redis_url))
        await stack.enter_async_context(running_edge(redis_url, **environ))
        await stack.enter_async_context(
            running_nginx(nginx, folder, port=port, edges=[f"127.0.0.1:{edge_port}"], changed=recipe)
        )
        yield url


async def test_a_browser_cannot_say_who_it_is(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """What it sends under the header's name is taken away, on every path."""
    async with proxied(require_binary("nginx"), redis_url, tmp_path) as url, aiohttp.ClientSession() as session:
        for path in ("/exmail/unread", "/exmail/history", "/exmail/events"):
            async with session.get(url + path, headers={HEADER: BOB}) as answer:
                assert answer.status == 401
        async with await open_ws(url, "/exmail/ws", X_Exmail_Mailbox=BOB) as client:
            assert await client.end() == 3009


async def test_the_click_takes_nobodys_word_either(require_binary: Callable[[str], str]) -> None:
    """The location of the click sets headers of its own, and this one among them."""
    require_binary("nginx")
    site = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text()
    assert site.count("proxy_set_header Host") == site.count(f'proxy_set_header {HEADER} "";') == 2


@pytest.fixture
async def oa(require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[int]:
    """An OA in PHP: one page signs in, and the page of the documentation says who is signed in."""
    folder, port = tmp_path / "oa", free_port()
    folder.mkdir()
    (folder / "whoami.php").write_text(SIGNING.block("php", holding="X-Auth-Request-Email"))
    (folder / "signin.php").write_text(SIGN_IN)
    php = (require_binary("php"), "-d", f"session.save_path={folder}", "-S", f"127.0.0.1:{port}", "-t", str(folder))
    async with running(*php, log=tmp_path / "php.log"):
        await until(lambda: accepts(port))
        yield port


async def test_a_php_session_signs_in(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path, oa: int
) -> None:
    """The recipe as it stands: who is signed in is shown his mailbox on both transports, others are told in words."""
    nginx = require_binary("nginx")
    sso = f"127.0.0.1:{oa}/whoami.php"
    async with proxied(nginx, redis_url, tmp_path, sso=sso) as url, aiohttp.ClientSession() as browser:
        async with browser.get(f"http://127.0.0.1:{oa}/signin.php", params={"who": BOB}) as answer:
            cookie = f"PHPSESSID={answer.cookies['PHPSESSID'].value}"
        async with browser.get(f"{url}/exmail/unread", headers={"Cookie": cookie}) as answer:
            assert (answer.status, (await answer.json())["mailbox"]) == (200, BOB)
        for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
            async with await opener(url, path, Cookie=cookie) as client:
                assert (await client.frame()).data["data"]["mailbox"] == BOB
            async with await opener(url, path, X_Exmail_Mailbox=BOB) as nobody:
                assert (await nobody.frame()).data["data"]["code"] == 3009


COOKIE = "_oauth2_proxy"


@dataclass
class OAuth2Proxy:
    """Answers ``/oauth2/auth`` as oauth2-proxy does with ``--set-xauthrequest``; it is in no Debian.

    ``sessions``: who has signed in, by cookie. ``renewed``: an old cookie, and the one that takes its place.
    """

    sessions: dict[str, str] = field(default_factory=dict)
    renewed: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def auth(self, request: web.Request) -> web.Response:
        self.asked.append(request.method)
        assert not await request.read()
        shown = request.cookies.get(COOKIE, "")
        email = self.sessions.get(shown)
        if email is None:
            return web.Response(status=401, text="Unauthorized\n")
        user = email.partition("@")[0]
        headers = {
            "X-Auth-Request-User": f"subject-of-{user}",
            "X-Auth-Request-Email": email,
            "X-Auth-Request-Preferred-Username": user,
            "X-Auth-Request-Groups": "staff",
        }
        answer = web.Response(status=202, headers=headers)
        if shown in self.renewed:
            answer.set_cookie(COOKIE, self.renewed[shown], httponly=True, samesite="Lax")
        return answer


@asynccontextmanager
async def running_sso(port: int) -> AsyncIterator[OAuth2Proxy]:
    sso = OAuth2Proxy()
    app = web.Application()
    app.router.add_get("/oauth2/auth", sso.auth)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield sso
    finally:
        await runner.cleanup()


async def test_who_has_signed_in_at_oauth2_proxy_sees_his_mailbox(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """The recipe as it stands, on each path; a cookie that is renewed meanwhile reaches the browser."""
    port = free_port()
    async with (
        running_sso(port) as sso,
        proxied(require_binary("nginx"), redis_url, tmp_path, sso=f"127.0.0.1:{port}/oauth2/auth") as url,
        aiohttp.ClientSession() as browser,
    ):
        sso.sessions = {"one": BOB, "two": ANN}
        sso.renewed = {"one": "three"}
        for cookie, mailbox, other in (("one", BOB, ANN), ("two", ANN, BOB)):
            claims = {"Cookie": f"{COOKIE}={cookie}", HEADER: other, "X-Auth-Request-Email": other}
            for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
                async with await opener(url, path, **claims) as client:
                    assert (await client.frame()).data["data"]["mailbox"] == mailbox
                    assert client.headers.get("set-cookie", "").startswith(f"{COOKIE}=three") == (cookie == "one")
            async with browser.get(f"{url}/exmail/unread", headers=claims) as answer:
                assert (answer.status, (await answer.json())["mailbox"]) == (200, mailbox)
            async with browser.post(f"{url}/exmail/ticket", headers=claims, data=b"{}") as answer:
                assert answer.status == 200
        assert set(sso.asked) == {"GET"}


async def test_who_has_not_is_nobody(require_binary: Callable[[str], str], redis_url: str, tmp_path: Path) -> None:
    """In words that a page understands, whatever he claims; when the sign-on is away, an event stream comes back."""
    port = free_port()
    async with proxied(require_binary("nginx"), redis_url, tmp_path, sso=f"127.0.0.1:{port}/oauth2/auth") as url:
        claims = {"Cookie": f"{COOKIE}=none", HEADER: BOB, "X-Auth-Request-Email": BOB}
        async with running_sso(port):
            for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
                async with await opener(url, path, **claims) as nobody:
                    assert (await nobody.frame()).data["data"]["code"] == 3009
        async with await open_sse(url, "/exmail/events", **claims) as later:
            assert (await later.frame()).data["data"]["code"] == 3013
        with pytest.raises(HandshakeRefused) as refused:
            await open_ws(url, "/exmail/ws", **claims)
        assert refused.value.status == 500
