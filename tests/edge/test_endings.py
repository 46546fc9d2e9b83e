"""Sessions that end before their tokens do: ``/logout``, ``/kick``, and every door that then stays shut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from bridge.access.refused import Refused
from bridge.edge.endings import cleared_cookie, read_kick
from bridge.journal.calls import Advance
from bridge.journal.keys import Keys
from bridge.journal.standing import Standings
from tests.support.browser_side import OPENERS, open_sse, open_ws
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import ANN, BOB, KEYS, NO_SWEEP, bearer, leading_writer, mail, running_edge, token

from .conftest import PATHS

SLAVE = "robert@gzdev.com"
OA = "https://oa.corp.com"


class SilentKeys(Keys):
    """Names under which a kick wakes nobody."""

    @property
    def control_channel(self) -> str:
        return "nobody:control"


class Bridge:
    """Two edges on one Redis, and requests to the second: what is ended there ends at both."""

    def __init__(self, urls: list[str], session: aiohttp.ClientSession, writer: Any, redis: Any) -> None:
        self.urls = urls
        self.session = session
        self.writer = writer
        self.redis = redis

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        json = {} if body is None else {"json": body}
        async with self.session.post(self.urls[1] + path, headers=names, **json) as answer:
            told = await answer.json() if "json" in answer.headers.get("Content-Type", "") else None
            return answer.status, told, answer.headers

    async def kick(self, **body: Any) -> int:
        status, _, _ = await self.post("/kick", body, **program())
        return status


def program(**claims: Any) -> dict[str, str]:
    """The header of the OA's back end: no mailbox, and a scope."""
    claims = {"sub": None, "scope": "kick", **claims}
    return bearer("", **{name: value for name, value in claims.items() if value is not None})


@pytest.fixture
async def bridge(redis_url: str) -> AsyncIterator[Bridge]:
    async with AsyncExitStack() as stack:
        writer, redis = await stack.enter_async_context(leading_writer(redis_url))
        running = [
            await stack.enter_async_context(running_edge(redis_url, NO_SWEEP, BRIDGE_EDGE_ALLOWED_ORIGINS=OA))
            for _ in range(2)
        ]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Bridge([url for url, _ in running], session, writer, redis)


async def connect(url: str, transport: str = "websocket", mailbox: str = BOB, path: str = "", **claims: Any) -> Any:
    client = await OPENERS[transport](url, PATHS[transport] + path, **bearer(mailbox, **claims))
    first = await client.frame()
    assert first.type in ("exmail.snapshot", "exmail.closing")
    return client


async def lives(bridge: Bridge, client: Any, mailbox: str = BOB) -> bool:
    await bridge.writer.commit([mail("", mailbox=mailbox)])
    return len(await client.events(1)) == 1


async def test_logging_out_ends_the_session_on_every_edge(bridge: Bridge, transport: str) -> None:
    """Every tab, whatever mailbox it shows, and it stays out; other sessions of the same person go on."""
    here = await connect(bridge.urls[0], transport, sid="s-1")
    there = await connect(bridge.urls[1], transport, sid="s-1", mailboxes=[ANN], path=f"?mailbox={ANN}")
    other = await connect(bridge.urls[0], transport, sid="s-2")
    async with here, there, other:
        status, _, headers = await bridge.post("/logout", **bearer(sid="s-1"))
        assert status == 204
        assert headers["Set-Cookie"].startswith("exmail_bridge=; Path=/; Max-Age=0;")
        assert await here.end() == await there.end() == 3503
        assert await lives(bridge, other)
    for url in bridge.urls:
        async with await connect(url, transport, sid="s-1") as again:
            assert await again.end() == 3503


async def test_every_door_looks(bridge: Bridge) -> None:
    """A session that was ended reads nothing and buys nothing, and a ticket of before opens nothing."""
    url = bridge.urls[0]
    mine = bearer(sid="s-1")
    async with bridge.session.post(f"{url}/ticket", headers=mine) as answer:
        ticket = (await answer.json())["ticket"]
    assert (await bridge.post("/logout", **mine))[0] == 204
    for method, path in (("GET", "/unread"), ("GET", "/history"), ("POST", "/ticket")):
        async with bridge.session.request(method, url + path, headers=mine) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "kicked")
    async with await open_ws(url, f"/ws?ticket={ticket}") as client:
        assert await client.end() == 3503
    async with await open_sse(url, **mine) as stream:
        assert await stream.end() == 3503
        assert stream.retry_ms == 3_600_000


async def test_without_a_sid_the_session_is_what_was_signed(bridge: Bridge) -> None:
    """One token of several; a signature that is written differently is the same session."""
    one, two = token(jti="1"), token(jti="2")
    first = await open_ws(bridge.urls[0], Authorization=f"Bearer {one}")
    second = await open_ws(bridge.urls[0], Authorization=f"Bearer {two}")
    async with first, second:
        await first.frame()
        await second.frame()
        assert (await bridge.post("/logout", Authorization=f"Bearer {one}"))[0] == 204
        assert await first.end() == 3503
        assert await lives(bridge, second)


async def test_an_expired_token_may_still_log_out(bridge: Bridge) -> None:
    """A tab that was open over night ends what the session has left; a forged one ends nothing."""
    async with await connect(bridge.urls[0], sid="s-1") as client:
        assert (await bridge.post("/logout", **bearer(sid="s-1", life_s=-9999)))[0] == 204
        assert await client.end() == 3503
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {token()[:-4]}AAAA"}):
        status, told, _ = await bridge.post("/logout", **headers)
        assert (status, bool(told["message"])) == (401, True)
    ticket = (await bridge.post("/ticket", **bearer(sid="s-9")))[1]["ticket"]
    assert (await bridge.post(f"/logout?ticket={ticket}"))[0] == 401
    assert await bridge.redis.zrange(KEYS.kicked, 0, -1) == [b"sid:s-1"]


async def test_every_cookie_of_the_name_is_logged_out(bridge: Bridge) -> None:
    """Which of them a page is served by is nobody's to guess; one that is no good keeps none from it."""
    cookie = f"exmail_bridge={token(sid='s-1')}; exmail_bridge=planted; exmail_bridge={token(ANN, sid='s-2')}"
    assert (await bridge.post("/logout", Cookie=cookie, Origin=OA))[0] == 204
    assert set(await bridge.redis.zrange(KEYS.kicked, 0, -1)) == {b"sid:s-1", b"sid:s-2"}


async def test_nobody_is_logged_out_by_a_foreign_page(bridge: Bridge) -> None:
    """The Origin rule of every other door; a listed page may read the answer."""
    status, _, _ = await bridge.post("/logout", Cookie=f"exmail_bridge={token()}", Origin="https://evil.example")
    assert status == 403
    assert not await bridge.redis.exists(KEYS.kicked)
    status, _, headers = await bridge.post("/logout", Cookie=f"exmail_bridge={token()}", Origin=OA)
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, OA)


async def test_a_logout_that_cannot_be_written_is_no_logout(own_server: Any) -> None:
    """503, come again: nobody is told that a session has ended which goes on."""
    async with (
        leading_writer(own_server.url),
        running_edge(own_server.url, NO_SWEEP) as (url, _),
        aiohttp.ClientSession(headers=bearer()) as session,
    ):
        own_server.kill()
        async with session.post(f"{url}/logout") as answer:
            assert answer.status == 503
            assert "Set-Cookie" not in answer.headers


async def test_a_kick_of_a_mailbox_ends_its_connections_and_bars_nobody(bridge: Bridge, transport: str) -> None:
    """By any address of the account, on every edge; who has a good token may come back at once."""
    await bridge.writer.commit([Advance(None, None, slaves={SLAVE: BOB})])
    bob = await connect(bridge.urls[0], transport)
    slave = await connect(bridge.urls[1], transport, SLAVE)
    ann = await connect(bridge.urls[0], transport, ANN)
    async with bob, slave, ann:
        assert await bridge.kick(mailbox=SLAVE.upper()) == 204
        assert await bob.end() == await slave.end() == 3503
        assert await lives(bridge, ann, ANN)
    async with await connect(bridge.urls[0], transport) as again:
        assert await lives(bridge, again)


async def test_with_both_given_both_must_match(bridge: Bridge) -> None:
    """That session in that mailbox is ended and kept out of it; nothing else of either is."""
    both = {"sid": "s-1", "mailboxes": [ANN]}
    meant = await connect(bridge.urls[0], **both)
    other_mailbox = await connect(bridge.urls[0], path=f"?mailbox={ANN}", **both)
    other_session = await connect(bridge.urls[0], sid="s-2")
    async with meant, other_mailbox, other_session:
        assert await bridge.kick(mailbox=BOB, sid="s-1") == 204
        assert await meant.end() == 3503
        assert await lives(bridge, other_mailbox, ANN)
        assert await lives(bridge, other_session)
    async with await connect(bridge.urls[0], **both) as again:
        assert await again.end() == 3503


async def test_who_may_kick(bridge: Bridge) -> None:
    """A bearer token with the scope, in time; no cookie, no ticket, and no mailbox is needed."""
    body = {"mailbox": BOB}
    for headers, status in (
        ({}, 401),
        (bearer(), 403),
        (bearer(scope="open kicker"), 403),
        (program(exp=1), 401),
        ({"Cookie": f"exmail_bridge={token(scope='kick')}"}, 401),
        (bearer(scope="open kick"), 204),
        (program(), 204),
    ):
        assert (await bridge.post("/kick", body, **headers))[0] == status, headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"mailbox":""}',
        b'{"mailbox":"bob"}',
        b'{"mailbox":5}',
        b'{"sid":["s"]}',
        b'{"mailbox":"bob@gzdev.com","sdi":"s-1"}',
        b'{"mailbox":null,"sid":null}',
    ],
)
def test_a_kick_that_is_not_understood_ends_nothing(body: bytes) -> None:
    """400: a misspelt word must not end more than was meant."""
    with pytest.raises(Refused) as refused:
        read_kick(body)
    assert refused.value.status == 400


@pytest.mark.parametrize(("headers", "size"), [({}, 20_000), ({"Content-Encoding": "gzip"}, 10)])
async def test_a_body_is_bounded_and_never_inflated(bridge: Bridge, headers: dict[str, str], size: int) -> None:
    """400, whatever a kicker sends."""
    sent = bridge.session.post(
        f"{bridge.urls[0]}/kick", data=b" " * size, headers=headers | program(), skip_auto_headers=()
    )
    async with sent as answer:
        assert answer.status == 400


def test_a_cookie_is_cleared_where_it_was_set() -> None:
    """At the public path; a browser takes a ``__Host-`` cookie for the whole host, and only with Secure."""
    assert cleared_cookie("c", path="/exmail/") == "c=; Path=/exmail/; Max-Age=0; HttpOnly; SameSite=Lax"
    assert cleared_cookie("__Host-c", path="/exmail/") == "__Host-c=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"


async def test_the_channel_alone_ends_nothing(bridge: Bridge) -> None:
    """Who can publish may wake the edges, with anything; what stands in Redis counts."""
    async with await connect(bridge.urls[0], sid="s-1") as client:
        for payload in (f"mailbox:{BOB}", "sid:s-1", f"mailbox:{BOB} sid:s-1", b"\xff\x00", "", "x" * 100_000):
            await bridge.redis.publish(KEYS.control_channel, payload)
        for number in range(1000):
            await bridge.redis.publish(KEYS.control_channel, f"sid:{number}")
        assert await lives(bridge, client)
        # Nor does all that keep a kick from being heard.
        pipeline = bridge.redis.pipeline(transaction=False)
        for number in range(1000):
            pipeline.publish(KEYS.control_channel, f"sid:{number}")
        await asyncio.gather(pipeline.execute(), bridge.kick(sid="s-1"))
        assert await client.end() == 3503


async def test_a_kick_that_nobody_heard_counts_when_the_edge_listens_again(bridge: Bridge, transport: str) -> None:
    """An edge that was cut off from Redis reads who is out as soon as it is back."""
    async with await connect(bridge.urls[0], transport, sid="s-1") as client:
        # Written as a kick writes it, and told to nobody.
        await Standings(bridge.redis, SilentKeys("exmail")).kick(session="s-1", kept_s=60)
        await bridge.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await client.end() == 3503


async def test_an_opening_that_is_under_way_ends_with_those_that_are_open(redis_url: str, transport: str) -> None:
    """At whatever point of its way it is: refused at the door, or ended as soon as it has joined."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (_, redis),
        running_edge(way.url, NO_SWEEP) as (url, _),
        await connect(url, transport, sid="s-0"),
    ):
        opening = asyncio.gather(*(connect(url, transport, sid="s-1") for _ in range(50)))
        kicks = Standings(redis, KEYS)
        await kicks.kick(mailbox=BOB, kept_s=60)
        await kicks.kick(session="s-1", kept_s=60)
        for client in await opening:
            assert await client.end() == 3503
            client.drop()


async def test_logging_out_where_a_proxy_says_who_asks(redis_url: str, transport: str) -> None:
    """There is no session: all connections of the mailbox end, and no other; who is signed in again comes back."""
    name = "X_Exmail_Mailbox"
    environ = {"BRIDGE_EDGE_AUTH_HEADER": "X-Exmail-Mailbox", "BRIDGE_EDGE_TRUSTED_PROXIES": "loopback"}

    async def opened(url: str, mailbox: str) -> Any:
        client = await OPENERS[transport](url, PATHS[transport], **{name: mailbox})
        assert (await client.frame()).data["data"]["mailbox"] == mailbox
        return client

    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url, NO_SWEEP, **environ) as (url, _):
        async with await opened(url, BOB) as one, await opened(url, BOB) as two, await opened(url, ANN) as ann:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/logout", headers={"X-Exmail-Mailbox": BOB}) as answer,
            ):
                assert answer.status == 204
            assert await one.end() == await two.end() == 3503
            await writer.commit([mail("Z1", mailbox=ANN)])
            assert (await ann.events(1))[0]["data"]["mail_id"] == "Z1"
        (await opened(url, BOB)).drop()


async def test_a_foreign_page_does_not_go_along_with_a_proxys_word(redis_url: str) -> None:
    """It goes along by itself like a cookie, and is held to the same origins."""
    environ = {"BRIDGE_EDGE_AUTH_HEADER": "X-Exmail-Mailbox", "BRIDGE_EDGE_TRUSTED_PROXIES": "loopback"}
    async with (
        leading_writer(redis_url),
        running_edge(redis_url, NO_SWEEP, **environ) as (url, _),
        aiohttp.ClientSession(headers={"X-Exmail-Mailbox": BOB}) as session,
    ):
        for headers, status in (
            ({}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "https://evil.com"}, 403),
        ):
            async with session.get(f"{url}/unread", headers=headers) as answer:
                assert answer.status == status
