"""The settings of an edge where something else than a token says who asks."""

from __future__ import annotations

from tests.settings.each.bench import Bench, Row
from tests.support.asked_oa import AskedOa, asked_oa
from tests.support.browser_side import open_sse
from tests.support.stage import BOB


async def auth_header(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_AUTH_HEADER=value, BRIDGE_EDGE_TRUSTED_PROXIES="loopback")
    name = value or "X-Exmail-Mailbox"
    assert await bench.status(f"{url}/unread", **{name: BOB}) == (200 if value else 401)
    assert await bench.status(f"{url}/unread", **{f"{name}x": BOB}) == 401


async def asking(bench: Bench, **environ: str) -> tuple[AskedOa, str]:
    """An edge that asks an OA, which knows one browser."""
    oa = await bench.stack.enter_async_context(asked_oa())
    oa.said["b=1"] = {"mailbox": BOB, "ttl": 30}
    given = {"BRIDGE_EDGE_AUTH_URL": oa.url, "BRIDGE_EDGE_AUTH_COOKIES": "b"} | environ
    return oa, await bench.edge(**given)


async def auth_url(bench: Bench, value: str) -> None:
    oa = await bench.stack.enter_async_context(asked_oa())
    oa.said["b=1"] = {"mailbox": BOB}
    asked = f"{oa.url}{value}" if value else ""
    url = await bench.edge(BRIDGE_EDGE_AUTH_URL=asked, BRIDGE_EDGE_AUTH_COOKIES="b")
    assert await bench.status(f"{url}/unread", Cookie="b=1") == (200 if value else 401)
    assert oa.paths == ([f"/whoami{value}"] if value else [])


async def auth_cookies(bench: Bench, value: str) -> None:
    names = value.split(",")
    oa, url = await asking(bench, BRIDGE_EDGE_AUTH_COOKIES=value)
    sent = "; ".join(f"{name}=1" for name in names)
    oa.said[sent] = {"mailbox": BOB}
    assert await bench.status(f"{url}/unread", Cookie=f"other=1; {sent}") == 200
    assert oa.asked == [sent]


async def auth_keep(bench: Bench, value: str) -> None:
    _, url = await asking(bench, BRIDGE_EDGE_AUTH_KEEP=value)
    async with await open_sse(url, Cookie="b=1") as client:
        left_s = (await client.frame()).data["data"]["expires_in"]
    assert int(value) + 20 <= left_s <= int(value) + 30


ROWS = {
    "BRIDGE_EDGE_AUTH_HEADER": Row(("", "X-Exmail-Mailbox", "x" * 64), auth_header),
    "BRIDGE_EDGE_AUTH_URL": Row(("", "/a", "/a/" + "c" * 500), auth_url),
    "BRIDGE_EDGE_AUTH_COOKIES": Row(
        ("b", "PHPSESSID,oa_token", ",".join("x" * 62 + f"{n:02}" for n in range(16))), auth_cookies
    ),
    "BRIDGE_EDGE_AUTH_KEEP": Row(("0", "900", "86400"), auth_keep),
}
