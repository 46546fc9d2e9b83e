"""Clients that talk, clients that misbehave, and those who may not come in."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from bridge.edge.transport import wire
from tests.edge.test_wire import client_frame
from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import bearer, leading_writer, mail, running_edge

from .conftest import QUICK, ids


async def test_websocket_clients_may_ping_and_talk(stage: Any) -> None:
    """Pings are answered, text is ignored, a close is echoed; what comes with the handshake counts too."""
    url, _, _ = stage
    client = await open_ws(url, send=client_frame(b"early", 9), **bearer())
    async with client:
        kinds = [(await client.frame()).type, (await client.frame()).type]
        assert sorted(kinds) == ["exmail.snapshot", "pong"]
        client.send(b"hello?")
        client.send("什么".encode(), 9)
        assert (await client.frame()).raw == "什么".encode()
        client.send((1000).to_bytes(2, "big"), 8)
        assert await client.end() == 1000


@pytest.mark.parametrize(("payload", "code"), [(b"a" * 5000, 3501), (b"\xff", 1007)])
async def test_websocket_clients_that_misbehave_are_told(stage: Any, payload: bytes, code: int) -> None:
    """Bounded text; UTF-8."""
    url, _, _ = stage
    client = await open_ws(url, **bearer())
    async with client:
        await client.frame()
        client.writer.write(client_frame(payload))
        assert await client.end() == code


@pytest.mark.parametrize("opcode", [wire.PING, wire.PONG, wire.TEXT, 0], ids=["pings", "pongs", "texts", "fragments"])
async def test_a_flood_of_frames_is_not_let_go_on(stage: Any, opcode: int) -> None:
    """3501, and what follows is not even read; others get their mails meanwhile."""
    url, writer, _ = stage
    flood = client_frame(b"x", opcode) * 50_000
    if not opcode:
        flood = client_frame(b"", wire.TEXT, final=False) + client_frame(b"", 0, final=False) * 50_000
    async with await open_ws(url, **bearer()) as flooder, await open_ws(url, **bearer()) as other:
        await flooder.frame()
        await other.frame()
        flooder.writer.write(flood)
        await writer.commit([mail("Z1")])
        assert ids(await other.events(1)) == ["Z1"]
        assert await flooder.end() == 3501
        assert flooder.frames[-1].data["data"]["retry_ms"] == 3_600_000


async def test_a_few_frames_are_no_flood(stage: Any) -> None:
    """Pings within a second are answered, the newest of them at least, and the connection stays."""
    url, writer, _ = stage
    async with await open_ws(url, **bearer()) as client:
        await client.frame()
        client.writer.write(b"".join(client_frame(str(n).encode(), wire.PING) for n in range(100)))
        while (frame := await client.frame()).raw != b"99":
            assert frame.type == "pong"
        await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]


async def test_refusals_that_a_script_can_see(stage: Any) -> None:
    """A bad token: 101 and a close code on /ws; 200, retry and closing on /events; 401 for anything else."""
    url, _, _ = stage
    bad = {"Authorization": "Bearer nonsense"}
    async with await open_ws(url, **bad) as client:
        assert await client.end() == 3500
    async with await open_sse(url, **bad) as client:
        assert await client.end() == 3500
        assert client.retry_ms == 3_600_000
        assert client.empty_blocks == 0
    from tests.support.browser_side import HandshakeRefused

    with pytest.raises(HandshakeRefused) as refused:
        await open_sse(url, Accept="*/*", **bad)
    assert refused.value.status == 401
    assert "www-authenticate" in refused.value.headers
    assert orjson.loads(refused.value.body)["message"]


@pytest.mark.parametrize("opener", [open_ws, open_sse])
async def test_foreign_origins_get_403(stage: Any, opener: Any) -> None:
    """Cross-site WebSocket hijacking ends here, before any token is looked at."""
    url, _, _ = stage
    from tests.support.browser_side import HandshakeRefused

    with pytest.raises(HandshakeRefused) as refused:
        await opener(url, Origin="https://evil.example", **bearer())
    assert refused.value.status == 403
    assert "evil.example" in orjson.loads(refused.value.body)["message"]


async def test_the_public_urls_prefix_is_accepted(redis_url: str) -> None:
    """Behind a proxy that keeps the path, and one that removes it."""
    async with (
        leading_writer(redis_url),
        running_edge(redis_url, QUICK, BRIDGE_EDGE_PUBLIC_URL="https://oa.corp.com/exmail/") as (url, _),
    ):
        for path in ("/ws", "/exmail/ws"):
            async with await open_ws(url, path, Origin="https://oa.corp.com", **bearer()) as client:
                assert (await client.frame()).type == "exmail.snapshot"


@pytest.mark.parametrize(
    ("public", "asked", "cleared"),
    [
        ("/%E9%82%AE/", "/%E9%82%AE", "/%E9%82%AE/"),
        ("/邮", "/%E9%82%AE", "/%E9%82%AE/"),
        ("/a%20b", "/a%20b", "/a%20b/"),
        ("/a%2Fb%25", "/a%2Fb%25", "/a%2Fb%25/"),
        ("/{x}/", "/%7Bx%7D", "/{x}/"),
        ("/v1.0+(a)", "/v1.0+(a)", "/v1.0+(a)/"),
    ],
)
async def test_the_public_urls_prefix_is_that_path_and_no_other(
    redis_url: str, public: str, asked: str, cleared: str
) -> None:
    """However it is written: a browser's path is found, nothing in it is a pattern, its cookie is taken away there."""
    async with (
        leading_writer(redis_url),
        running_edge(redis_url, QUICK, BRIDGE_EDGE_PUBLIC_URL=f"https://oa.corp.com{public}") as (url, _),
        aiohttp.ClientSession() as session,
    ):
        for path, status in ((asked, 204), ("", 204), ("/other", 404), ("/v1x0+(a)", 404)):
            async with session.post(URL(f"{url}{path}/logout", encoded=True), headers=bearer(sid="out")) as answer:
                assert answer.status == status, path
                if status == 204:
                    assert f"Path={cleared};" in answer.headers["Set-Cookie"]
        async with await open_ws(url, f"{asked}/ws", **bearer(sid="in")) as client:
            assert (await client.frame()).type == "exmail.snapshot"
        async with session.get(URL(f"{url}{asked}/mail/open", encoded=True)) as answer:
            assert "mailboxes are not opened here" in await answer.text()
