"""People who are signed in by something before the bridge: the nginx file, and what docs/signing.md adds to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.deploy.programs import ROOT, accepts, running
from tests.docs.pages import Page
from tests.support.browser_side import open_sse, open_ws
from tests.support.nginx import running_nginx
from tests.support.processes import free_port
from tests.support.stage import BOB, leading_writer, running_edge
from tests.support.waiting import until

SIGNING = Page(ROOT / "docs" / "signing.md")
HEADER = "X-Exmail-Mailbox"
SIGN_IN = "<?php session_start(); $_SESSION['mailbox'] = $_GET['who'];"


@asynccontextmanager
async def proxied(nginx: str, redis_url: str, folder: Path, *, sso: int | None = None) -> AsyncIterator[str]:
    """An edge that takes the header for who asks, behind nginx; ``sso``: and with the page's recipe for that port."""
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
        if sso is None
        else {
            f'proxy_set_header {HEADER} "";': SIGNING.block("nginx", holding="auth_request_set"),
            "location @exmail_away {": SIGNING.block("nginx", holding="@exmail_nobody").replace(
                "127.0.0.1:4180/oauth2/auth", f"127.0.0.1:{sso}/whoami.php"
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
    async with proxied(nginx, redis_url, tmp_path, sso=oa) as url, aiohttp.ClientSession() as browser:
        async with browser.get(f"http://127.0.0.1:{oa}/signin.php", params={"who": BOB}) as answer:
            cookie = f"PHPSESSID={answer.cookies['PHPSESSID'].value}"
        async with browser.get(f"{url}/exmail/unread", headers={"Cookie": cookie}) as answer:
            assert (answer.status, (await answer.json())["mailbox"]) == (200, BOB)
        for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
            async with await opener(url, path, Cookie=cookie) as client:
                assert (await client.frame()).data["data"]["mailbox"] == BOB
            async with await opener(url, path, X_Exmail_Mailbox=BOB) as nobody:
                assert (await nobody.frame()).data["data"]["code"] == 3009
