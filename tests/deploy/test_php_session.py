"""The recipe of docs/signing.md for an OA that is asked, with a bare PHP session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.deploy.programs import ROOT, accepts, running
from tests.docs.pages import Page
from tests.support.browser_side import open_sse, open_ws
from tests.support.processes import free_port
from tests.support.stage import BOB, leading_writer, running_edge
from tests.support.waiting import until

SIGNING = Page(ROOT / "docs" / "signing.md")
SIGN_IN = "<?php session_start(); $_SESSION['mailbox'] = $_GET['who'];"


async def test_the_edge_asks_a_php_session(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """As it stands: who is signed in is shown his mailbox on both transports, others are told that they are nobody."""
    folder, port = tmp_path / "oa", free_port()
    folder.mkdir()
    (folder / "exmail-whoami.php").write_text(SIGNING.block("php", holding="json_encode"))
    (folder / "signin.php").write_text(SIGN_IN)
    php = (require_binary("php"), "-d", f"session.save_path={folder}", "-S", f"127.0.0.1:{port}", "-t", str(folder))
    environ = {
        "BRIDGE_EDGE_JWT_SECRET": "",
        "BRIDGE_EDGE_AUTH_URL": f"http://127.0.0.1:{port}/exmail-whoami.php",
        "BRIDGE_EDGE_AUTH_COOKIES": "PHPSESSID",
    }
    async with (
        running(*php, log=tmp_path / "php.log"),
        leading_writer(redis_url),
        running_edge(redis_url, **environ) as (url, _),
        aiohttp.ClientSession() as browser,
    ):
        await until(lambda: accepts(port))
        async with browser.get(f"http://127.0.0.1:{port}/signin.php", params={"who": BOB}) as answer:
            cookie = f"PHPSESSID={answer.cookies['PHPSESSID'].value}"
        for opener, path in ((open_ws, "/ws"), (open_sse, "/events")):
            async with await opener(url, path, Cookie=cookie) as client:
                assert (await client.frame()).data["data"]["mailbox"] == BOB
            async with await opener(url, path, Cookie="PHPSESSID=0123456789abcdef0123456789") as nobody:
                assert await nobody.end() == 3009
