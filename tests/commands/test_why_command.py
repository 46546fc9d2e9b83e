"""``why``: each way in which a mail can go astray has its own last line."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bridge.events import SYSTEM, build_event
from bridge.journal.calls import Advance, Announce
from bridge.journal.inquiry import Inquiries, read_question
from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import ANN, BOB, KEYS, QUICK, bearer, count, leading_writer, mail, running_edge
from tests.support.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]


async def why(redis_url: str, *words: str) -> str:
    """Run the command; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "why", *words),
        env={**kept, "PYTHONPATH": str(ROOT), "BRIDGE_REDIS_URL": redis_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert (process.returncode, err) == (0, b"")
    return out.decode()


def announced(type: str, data: dict[str, Any], **upstream: str) -> Announce:
    return Announce(
        build_event(namespace="exmail", stream=SYSTEM, type=f"exmail.upstream.{type}", time_s=4e9, data=data), upstream
    )


async def test_a_mail_that_every_browser_was_sent(redis_url: str) -> None:
    """From the commit to each connection, on both transports; its subject stands nowhere."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, QUICK) as (url, _),
        await open_ws(url, **bearer()) as one,
        await open_sse(url, **bearer()) as two,
    ):
        await writer.commit([mail("Z1", 3, subject="for your eyes only"), mail("Z2", 4)])
        for browser in (one, two):
            assert [event["data"]["mail_id"] for event in await browser.events(2)] == ["Z1", "Z2"]
        said = await why(redis_url, BOB, "Z1")
        assert "as " + one.frames[1].data["id"] in said
        assert said.count("has been sent it") == 2
        assert "websocket since" in said
        assert "sse since" in said
        assert "1 of 1 answered" in said
        assert "4 unread" in said
        assert said.rstrip().endswith("look at the page's own code, or at the browser.")
        assert "your eyes" not in said
        facts = json.loads(await why(redis_url, BOB, "Z1", "--json"))
        assert [len(edge["open"]) for edge in facts["edges"]] == [2]
        assert facts["mails"] == [
            {"mail_id": "Z1", "position": one.frames[1].data["id"], "time": one.frames[1].data["time"]}
        ]
        assert "Z2" in await why(redis_url, BOB), "without a MailId the newest are shown"


async def slow_reader(url: str) -> socket.socket:
    """A browser that has asked for its events and takes none of them."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    where = urlsplit(url)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, (where.hostname, where.port))
    head = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer()['Authorization']}\r\n\r\n"
    await loop.sock_sendall(sock, head.encode())
    return sock


async def test_a_mailbox_that_many_have_open(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is bounded: who has been sent least is in it, who is there longest, and how many there are."""
    monkeypatch.setattr("bridge.edge.witness._TOLD_MOST", 1)
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, QUICK) as (url, _),
        await open_ws(url, **bearer()) as first,
        await open_ws(url, **bearer()) as second,
        await open_sse(url, **bearer()) as third,
    ):
        asked = Inquiries(redis, KEYS)
        for browser in (first, second, third):
            await browser.frame()
        with await slow_reader(url):
            for sent in range(200):
                await writer.commit([mail(f"Z{sent}-{number}", subject="x" * 500) for number in range(100)])
                for browser in (first, second, third):
                    await browser.events(100)
                if any(each["unsent"] for each in (await asked.ask(BOB))[0][0]["open"]):
                    break
            else:
                pytest.fail("whoever takes nothing is not among those that are told of")
            await writer.commit([mail("LAST")])
            for browser in (first, second, third):
                await browser.events(1)
            facts = json.loads(await why(redis_url, BOB, "LAST", "--json"))
            [edge] = facts["edges"]
            behind, longest = edge["open"]
            assert (edge["open_in_all"], longest["transport"], behind["transport"]) == (4, "websocket", "sse")
            assert behind["unsent"] > 0
            assert "a connection has not been sent it" in facts["verdict"]
            said = await why(redis_url, BOB, "LAST")
            assert "connection   2 more, none of them further behind" in said


async def test_a_browser_that_has_gone(redis_url: str) -> None:
    """Who was connected, until when, and whether it had the mail."""
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url, QUICK) as (url, _):
        browser = await open_ws(url, **bearer())
        await writer.commit([mail("Z1")])
        await browser.events(1)
        browser.drop()

        async def gone() -> bool:
            return "No browser looks" in await why(redis_url, BOB, "Z1")

        await until(gone)
        await writer.commit([mail("Z2")])
        said = await why(redis_url, BOB, "Z1")
        assert "had been sent it" in said
        assert "sent to a browser that has gone" in said
        said = await why(redis_url, BOB, "Z2")
        assert "had been sent it" not in said
        assert "is given what it missed" in said
        assert redis is not None


async def test_a_browser_that_came_after_it(redis_url: str) -> None:
    """A snapshot announces nothing, so it was not sent the mail; who came back from before it was."""
    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url, QUICK) as (url, _):
        async with await open_ws(url, **bearer()) as early:
            before = (await early.frame()).data["data"]["position"]

        async def gone() -> bool:
            return "No browser looks" in await why(redis_url, BOB)

        await until(gone)
        await writer.commit([mail("Z1"), mail("Z2")])
        async with await open_ws(url, **bearer()) as fresh:
            await fresh.frame()
            said = await why(redis_url, BOB, "Z1")
            assert "has been sent it" not in said
            assert "opened after it" in said
            assert "before who is connected now came" in said
            async with await open_ws(url, f"/ws?after={before}", **bearer()) as back:
                await back.events(2)
                said = await why(redis_url, BOB, "Z1")
                assert said.count("has been sent it") == 1
                assert said.count("opened after it") == 1


async def test_an_edge_that_does_not_answer_is_not_taken_for_one_without_browsers(redis_url: str) -> None:
    """Whom it has is not known, and that is said."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("Z1")])
        hangs = redis.pubsub()
        await hangs.subscribe(KEYS.inquiry_channel)
        await hangs.get_message(timeout=PATIENCE_S)
        said = await why(redis_url, BOB, "Z1")
        assert "0 of 1 answered" in said
        assert "1 of 1 edges did not answer" in said
        assert "No browser looks" not in said
        async with running_edge(redis_url, QUICK) as (url, _), await open_ws(url, **bearer()) as browser:
            await writer.commit([mail("Z2")])
            await browser.events(1)
            said = await why(redis_url, BOB, "Z2")
            assert "It was sent to every open connection of the 1 edges that answered, of 2" in said
        await hangs.aclose()


async def test_a_mail_that_never_came(redis_url: str) -> None:
    """Not recorded: the provider did not push it; in a gap: it is lost; not connected: nothing comes."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([announced("connected", {"since": 1, "why": ""}, state="connected", since="1", why="")])
        assert "the provider did not push it, at least not" in await why(redis_url, BOB, "Z1")
        await writer.commit([announced("missed", {"since": 4_000, "until": 9_000}, gap="now")])
        said = await why(redis_url, BOB, "Z1")
        assert "1970-01-01T00:00:04.000Z to 1970-01-01T00:00:09.000Z: nobody listened" in said
        assert "it is lost" in said
        await redis.delete(KEYS.lease)
        assert "not connected now" in await why(redis_url, BOB, "Z1")
        assert "none runs" in await why(redis_url, BOB, "Z1")


async def test_a_mail_whose_event_has_gone(redis_url: str) -> None:
    """Trimmed from the history: found in the stream of all events, or at least remembered."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("Z1")])
        await redis.delete(KEYS.log(BOB))
        assert "only in the stream of all events" in await why(redis_url, BOB, "Z1")
        assert "No edge runs" in await why(redis_url, BOB, "Z1")
        await redis.delete(KEYS.events)
        said = await why(redis_url, BOB, "Z1")
        assert "its event is not kept any more" in said
        assert "It was published at that time" in said


async def test_a_history_that_was_begun_anew(redis_url: str) -> None:
    """The event stands in an epoch that no browser can resume to."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("Z1")])
        await redis.hset(KEYS.state(BOB), "epoch", "otherone")
        assert "begun anew" in await why(redis_url, BOB, "Z1")


async def test_whose_mailbox_it_is(redis_url: str) -> None:
    """A slave stands for its account; who is barred cannot be told anything."""
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([Advance(None, 1, profiles={BOB: b"{}"}, slaves={"robert@gzdev.com": BOB}), count(2)])
        said = await why(redis_url, "Robert@GZdev.com")
        assert f"robert@gzdev.com is another address (别名) of {BOB}: {BOB}, in the directory" in said
        assert "2 unread" in said
        assert "not in the directory" in await why(redis_url, ANN)
        await writer.commit([Advance(1, 2, barred=[BOB])])
        assert "nobody may follow its mailbox" in await why(redis_url, BOB)


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"id":"x","mailbox":"a@b.c"}', b'{"id":"0123456789abcdef","mailbox":7}', b"\xff"],
)
def test_what_is_no_question_is_not_answered(payload: bytes) -> None:
    """The id becomes part of a key's name, so it is checked."""
    assert read_question(payload) is None


async def test_another_bridge_in_another_database_is_told_of(redis_url: str) -> None:
    """It would be taken for gaps."""
    async with leading_writer(f"{redis_url}?db=3") as (_, elsewhere), leading_writer(redis_url):
        assert "server       another bridge of this namespace leads in its database 3" in await why(redis_url, BOB)
        assert json.loads(await why(redis_url, BOB, "--json"))["led_in_databases"] == [3]
        await elsewhere.flushdb()
        assert "another bridge" not in await why(redis_url, BOB)
