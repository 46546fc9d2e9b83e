"""``/unread``, ``/history``, ``/ticket``, ``/client.js``: what anything can ask that speaks HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bridge.journal.calls import Advance
from bridge.journal.writer import Writer
from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import ANN, BOB, KEYS, bearer, count, leading_writer, mail, running_edge, token
from tests.support.workers import sample

OA = "https://oa.corp.com"
Ask = Any


@pytest.fixture
async def ask(redis_url: str) -> AsyncIterator[Ask]:
    """``await ask("/unread")`` → (status, headers, JSON or text); ``ask.writer``, ``ask.url``."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, BRIDGE_EDGE_ALLOWED_ORIGINS=OA) as (url, metrics),
        aiohttp.ClientSession() as session,
    ):

        async def request(path: str, method: str = "GET", mailbox: str | None = BOB, **headers: str) -> Any:
            credential = bearer(mailbox) if mailbox else {}
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            async with session.request(method, url + path, headers=credential | names) as answer:
                kind = answer.headers.get("Content-Type", "")
                body = await answer.json() if "json" in kind else await answer.text()
                return answer.status, answer.headers, body

        request.writer = writer  # type: ignore[attr-defined]
        request.redis = redis  # type: ignore[attr-defined]
        request.url = url  # type: ignore[attr-defined]
        request.metrics = metrics  # type: ignore[attr-defined]
        yield request


async def test_unread_is_nulls_until_something_is_known(ask: Ask) -> None:
    """Unknown is not zero; and asking makes the worker ask."""
    status, headers, body = await ask("/unread")
    assert (status, body) == (200, {"mailbox": BOB, "unread": None, "as_of": None})
    assert headers["Cache-Control"] == "no-store"
    assert await ask.redis.sismember(KEYS.wanted, BOB)
    await ask.writer.commit([count(4)])
    _, _, body = await ask("/unread")
    assert body["unread"] == 4
    assert body["as_of"] > 1_600_000_000_000


async def test_unread_of_a_slave_is_its_accounts(ask: Ask) -> None:
    """The answer names the account."""
    await ask.writer.commit([Advance(None, 5, profiles={BOB: b"{}"}, slaves={"bobby@gzdev.com": BOB}), count(4)])
    _, _, body = await ask("/unread", mailbox="bobby@gzdev.com")
    assert (body["mailbox"], body["unread"]) == (BOB, 4)


async def test_an_account_is_asked_for_by_its_own_name_where_an_alias_is_named(ask: Ask) -> None:
    """Events have that name, so clients do; it is no way past the credential, nor when the alias leads elsewhere."""
    alias = "bobby@gzdev.com"
    await ask.writer.commit([Advance(None, 5, slaves={alias: BOB}), count(4), count(7, ANN)])
    assert (await ask(f"/unread?mailbox={BOB}", mailbox=alias))[2]["unread"] == 4
    assert (await ask(f"/history?mailbox={BOB}", mailbox=alias))[0] == 200
    assert (await ask(f"/unread?mailbox={ANN}", mailbox=alias))[0] == 403
    await ask.writer.commit([Advance(5, 6, slaves={alias: ANN}, moved=[alias])])
    for mailbox in (BOB, ANN):
        assert (await ask(f"/unread?mailbox={mailbox}", mailbox=alias))[0] in (401, 403)


async def test_history_in_pages(ask: Ask) -> None:
    """Oldest first, events whole, until there is no more; an unknown epoch is the newest page, and said."""
    writer: Writer = ask.writer
    outcomes = await writer.commit([mail(f"Z{number}", number) for number in range(5)])
    epoch = outcomes[0].epoch
    _, _, body = await ask(f"/history?after={epoch}-0&limit=3")
    assert [event["data"]["mail_id"] for event in body["events"]] == ["Z0", "Z1", "Z2"]
    assert (body["position"], body["more"], body["complete"]) == (f"{epoch}-3", True, True)
    _, _, body = await ask(f"/history?after={body['position']}&limit=3")
    assert [event["data"]["mail_id"] for event in body["events"]] == ["Z3", "Z4"]
    assert (body["position"], body["more"], body["complete"]) == (f"{epoch}-5", False, True)
    _, _, body = await ask("/history?limit=2")
    assert [event["data"]["mail_id"] for event in body["events"]] == ["Z3", "Z4"]
    _, _, body = await ask("/history?after=zzzzzzzz-1")
    assert body["complete"] is False


@pytest.mark.parametrize(
    "query",
    [
        *("after=nonsense", "limit=0", "limit=201", "limit=x", "limit=%EF%BC%91", "limit="),
        pytest.param(f"limit={'0' * 5000}200", id="limit of 5,003 digits"),
    ],
)
async def test_history_says_what_is_wrong_with_a_question(ask: Ask, query: str) -> None:
    """400 here: no EventSource can die of it."""
    status, _, body = await ask(f"/history?{query}")
    assert status == 400
    assert body["message"]


async def test_a_ticket_opens_one_connection(ask: Ask) -> None:
    """Bearer or cookie buys one; it opens a stream once; it never buys another ticket."""
    status, _, body = await ask("/ticket", "POST")
    assert status == 200
    assert body["expires_in"] == 30
    ticket = body["ticket"]
    async with await open_ws(ask.url, f"/ws?ticket={ticket}") as client:
        assert (await client.frame()).data["data"]["mailbox"] == BOB
    async with await open_sse(ask.url, f"/events?ticket={ticket}") as client:
        assert await client.end() == 3009
    _, _, body = await ask("/ticket", "POST")
    status, _, refused = await ask(f"/ticket?ticket={body['ticket']}", "POST", mailbox=None)
    assert status == 401
    assert refused["error"] == "ticket"


async def test_a_storm_of_tickets_is_served(ask: Ask) -> None:
    """Many at one moment: questions to Redis wait for each other, nobody is turned away."""
    import asyncio

    tickets = [(await ask("/ticket", "POST"))[2]["ticket"] for _ in range(60)]
    clients = await asyncio.gather(*(open_ws(ask.url, f"/ws?ticket={ticket}") for ticket in tickets))
    for client in clients:
        assert (await client.frame()).type == "exmail.snapshot"
        client.drop()


async def test_the_cookie_is_a_credential(ask: Ask) -> None:
    """Same origin; from another site it is not, even without an Origin header."""
    cookie = {"Cookie": f"exmail_bridge={token()}"}
    status, _, _ = await ask("/unread", mailbox=None, **cookie)
    assert status == 200
    status, _, body = await ask("/unread", mailbox=None, Sec_Fetch_Site="cross-site", **cookie)
    assert status == 403
    assert body["error"] == "origin"


async def test_listed_origins_get_cors_on_every_answer(ask: Ask) -> None:
    """Errors and preflight included; others get none."""
    for path, method, mailbox, expected in (
        ("/unread", "GET", BOB, 200),
        ("/unread", "GET", None, 401),
        ("/history?limit=0", "GET", BOB, 400),
        ("/unread?mailbox=" + ANN, "GET", BOB, 403),
        ("/ticket", "OPTIONS", None, 204),
        ("/events", "OPTIONS", None, 204),
    ):
        status, headers, _ = await ask(path, method, mailbox, Origin=OA)
        assert (path, status) == (path, expected)
        assert headers["Access-Control-Allow-Origin"] == OA
        assert headers["Access-Control-Allow-Credentials"] == "true"
    status, headers, body = await ask("/unread", Origin="https://evil.example")
    assert status == 403
    assert "Access-Control-Allow-Origin" not in headers
    assert "evil.example" in body["message"]
    async with await open_sse(ask.url, Origin=OA, **bearer()) as client:
        assert client.headers["access-control-allow-origin"] == OA


async def test_refusals_are_counted_by_reason(ask: Ask) -> None:
    """Operators see which check fails."""
    await ask("/unread", mailbox=None)
    assert sample(ask.metrics, "edge_refusals_total", reason="missing") == 1


async def test_client_js_may_be_loaded_from_anywhere(ask: Ask) -> None:
    """A classic script, as any CDN would serve it."""
    status, headers, body = await ask("/client.js", mailbox=None, Origin="https://evil.example")
    assert status == 200
    assert headers["Content-Type"].startswith("text/javascript")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "window.ExmailBridge" in body


@pytest.mark.parametrize("path", ["/ws", "/events", "/client.js", "/unread", "/history"])
async def test_head_runs_nothing(ask: Ask, path: str) -> None:
    """A HEAD must not open a stream that nobody reads."""
    status, _, _ = await ask(path, "HEAD")
    assert status == 405


async def test_there_is_nothing_else(ask: Ask) -> None:
    """No page outside ``dev``."""
    for path in ("/", "/dev/mail", "/metrics", "/mail"):
        status, _, _ = await ask(path)
        assert status == 404


async def test_redis_away_is_503_with_retry_after(own_server: Any) -> None:
    """Plain requests are told when to come back."""
    async with (
        leading_writer(own_server.url),
        running_edge(own_server.url) as (url, _),
        aiohttp.ClientSession(headers=bearer()) as session,
    ):
        own_server.kill()
        async with session.get(url + "/unread") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["error"] == "busy"
