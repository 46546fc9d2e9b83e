"""Where the OA says who asks, it is asked again about those who have a connection open."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from bridge.journal.writer import Writer
from tests.support.asked_oa import AskedOa, asked_oa
from tests.support.browser_side import OPENERS
from tests.support.stage import ANN, BOB, leading_writer, mail, running_edge
from tests.support.waiting import until

from .conftest import PATHS, QUICK, ids

COOKIE = "sid=b"


@asynccontextmanager
async def asking_edge(redis_url: str, *, keep_s: int = 900) -> AsyncIterator[tuple[str, Writer, AskedOa]]:
    async with AsyncExitStack() as stack:
        writer, _ = await stack.enter_async_context(leading_writer(redis_url))
        oa = await stack.enter_async_context(asked_oa())
        environ = {
            "BRIDGE_EDGE_JWT_SECRET": "",
            "BRIDGE_EDGE_AUTH_URL": oa.url,
            "BRIDGE_EDGE_AUTH_COOKIES": "sid",
            "BRIDGE_EDGE_AUTH_KEEP": str(keep_s),
        }
        url, _ = await stack.enter_async_context(running_edge(redis_url, QUICK, **environ))
        yield url, writer, oa


async def opened(url: str, transport: str, mailbox: str = BOB) -> Any:
    client = await OPENERS[transport](url, PATHS[transport], Cookie=COOKIE)
    assert (await client.frame()).data["data"]["mailbox"] == mailbox
    return client


async def test_who_signs_out_at_the_oa_loses_his_connections(redis_url: str, transport: str) -> None:
    """As soon as it is asked again, with 3009; it is asked once for all tabs."""
    async with asking_edge(redis_url) as (url, _, oa):
        oa.said[COOKIE] = {"mailbox": BOB, "ttl": 1}
        async with await opened(url, transport) as one, await opened(url, transport) as two:
            oa.said.clear()
            asked = len(oa.asked)
            assert await one.end() == await two.end() == 3009
        assert len(oa.asked) <= asked + 1


async def test_a_session_that_becomes_somebody_elses(redis_url: str, transport: str) -> None:
    """3005, with which the page comes back at once; then it is shown the other person's mails."""
    async with asking_edge(redis_url) as (url, _, oa):
        oa.said[COOKIE] = {"mailbox": BOB, "ttl": 1}
        async with await opened(url, transport) as client:
            oa.said[COOKIE] = {"mailbox": ANN, "ttl": 1}
            assert await client.end() == 3005
        (await opened(url, transport, ANN)).drop()


async def test_who_stays_signed_in_stays(redis_url: str) -> None:
    """Beyond the end of the first answer, and the time that people are kept beyond it."""
    # A machine that stands still for so long may have everybody signed out.
    async with asking_edge(redis_url, keep_s=8) as (url, writer, oa):
        oa.said[COOKIE] = {"mailbox": BOB, "ttl": 1}
        async with await opened(url, "websocket") as client:
            first_ends = time.time() + 9
            await until(lambda: time.time() > first_ends and len(oa.asked) > 2)
            await writer.commit([mail("Z1")])
            assert ids(await client.events(1)) == ["Z1"]


async def test_who_is_in_stays_while_the_oa_is_away(redis_url: str, transport: str) -> None:
    """For as long as is set; who comes anew is told to come later."""
    async with asking_edge(redis_url) as (url, writer, oa):
        oa.said[COOKIE] = {"mailbox": BOB, "ttl": 1}
        async with await opened(url, transport) as client:
            oa.answer = (502, b"", {})
            await until(lambda: len(oa.asked) > 1)
            oa.said["sid=a"] = {"mailbox": ANN}
            late = await OPENERS[transport](url, PATHS[transport], Cookie="sid=a")
            assert await late.end() == 3013
            headers = {"Cookie": "sid=a"}
            async with aiohttp.ClientSession() as session, session.get(f"{url}/unread", headers=headers) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
                assert (await answer.json())["error"] == "oa"
            await writer.commit([mail("Z1")])
            assert ids(await client.events(1)) == ["Z1"]


async def test_nobody_is_kept_for_ever(redis_url: str, transport: str) -> None:
    """When the time that is set has passed too, the connection ends."""
    async with asking_edge(redis_url, keep_s=0) as (url, _, oa):
        oa.said[COOKIE] = {"mailbox": BOB, "ttl": 1}
        async with await opened(url, transport) as client:
            oa.answer = (502, b"", {})
            assert await client.end() == 3005


async def test_a_foreign_page_does_not_go_along_with_the_oas_cookies(redis_url: str) -> None:
    """They are held to the same origins as our own."""
    async with asking_edge(redis_url) as (url, _, oa), aiohttp.ClientSession(headers={"Cookie": COOKIE}) as session:
        oa.said[COOKIE] = {"mailbox": BOB}
        for headers, status in (
            ({}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Origin": "https://evil.com"}, 403),
        ):
            async with session.get(f"{url}/unread", headers=headers) as answer:
                assert answer.status == status


async def test_a_ticket_stands_for_the_answer(redis_url: str, transport: str) -> None:
    """A connection by ticket cannot be asked about again, so it ends with the answer's time."""
    async with asking_edge(redis_url) as (url, _, oa), aiohttp.ClientSession() as session:
        for ttl_s in (2, 10, 40):
            oa.said[f"{COOKIE}{ttl_s}"] = {"mailbox": BOB, "sid": "s-1", "ttl": ttl_s}
            async with session.post(f"{url}/ticket", headers={"Cookie": f"{COOKIE}{ttl_s}"}) as answer:
                told = await answer.json()
            async with await OPENERS[transport](url, f"{PATHS[transport]}?ticket={told['ticket']}") as client:
                if (await client.frame()).type == "exmail.snapshot":
                    assert told["session"]
                    assert await client.end() == 3005
                    return
            # He came to the door when it was over: on a busy machine it takes longer.
        raise AssertionError("nobody was let in")


async def test_logging_out_ends_what_the_oa_named(redis_url: str, transport: str) -> None:
    """The session, which stays out; without one all connections of the mailbox."""
    async with asking_edge(redis_url) as (url, _, oa), aiohttp.ClientSession(headers={"Cookie": COOKIE}) as session:
        oa.said[COOKIE] = {"mailbox": BOB, "sid": "s-1"}
        async with await opened(url, transport) as client:
            async with session.post(f"{url}/logout") as answer:
                assert answer.status == 204
            assert await client.end() == 3503
        async with session.get(f"{url}/unread") as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "kicked")
        oa.said["sid=c"] = {"mailbox": BOB}
        async with await OPENERS[transport](url, PATHS[transport], Cookie="sid=c") as client:
            await client.frame()
            async with session.post(f"{url}/logout", headers={"Cookie": "sid=c"}) as answer:
                assert answer.status == 204
            assert await client.end() == 3503
