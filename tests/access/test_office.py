"""The OA says whose session a browser's cookies are, and what it says is held to bounds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from bridge.access.access import Access, Identity
from bridge.access.no_tokens import NoTokens
from bridge.access.office import MOST_BYTES, MOST_OPEN, MOST_WAITING, AskedOffice
from bridge.access.refused import Refused
from bridge.obs.metrics import Metrics
from bridge.provider.egress import Egress
from tests.support.asked_oa import AskedOa, asked_oa
from tests.support.waiting import until
from tests.support.workers import sample

from .test_identity import ANN, BOB, NoTickets, token

KEEP_S = 900


class Stage:
    """An office, the OA that it asks, and a clock for both of its clocks."""

    def __init__(self, oa: AskedOa, session: Any) -> None:
        self.oa = oa
        self.time = 1000.0
        # By a name: a jar keeps no cookies of addresses.
        url = oa.url.replace("127.0.0.1", "localhost")
        self.metrics = Metrics()
        self.office = AskedOffice(
            url,
            ["sid", "oa"],
            session=session,
            metrics=self.metrics,
            keep_s=KEEP_S,
            now=lambda: self.time,
            clock=lambda: self.time,
        )
        self.access = Access(
            verifier=NoTokens(), tickets=NoTickets(), cookie_name="bridge", claim="sub", office=self.office
        )

    async def who(self, cookies: str, **headers: str) -> Identity:
        return await self.access.identify(request(cookies, **headers))

    async def refusal(self, cookies: str) -> Refused:
        with pytest.raises(Refused) as refused:
            await self.who(cookies)
        return refused.value


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with asked_oa() as oa, Egress().session() as session:
        made = Stage(oa, session)
        async with made.office:
            yield made


def request(cookies: str, path: str = "/ws", **headers: str) -> Any:
    return make_mocked_request("GET", path, headers={"Host": "oa", "Cookie": cookies, **headers})


async def test_the_oa_names_the_mailbox(stage: Stage) -> None:
    """Its first address, further ones, and its session; said now, and good for the ``ttl`` and as long as is kept."""
    stage.oa.said["sid=b"] = {"mailbox": " Bob@GZdev.com ", "mailboxes": [ANN], "sid": "s-1", "ttl": 30}
    found = await stage.who("sid=b")
    assert (found.mailboxes, found.sid, found.session) == ((BOB, ANN), "s-1", "s-1")
    assert (found.issued, found.expires) == (1000.0, 1000.0 + 30 + KEEP_S)


async def test_it_gives_no_scope(stage: Stage) -> None:
    """What an answer may say is the four members; rights of programs are signed."""
    stage.oa.said["sid=b"] = {"mailbox": BOB, "scope": "open kick", "iat": 5, "exp": 9e9}
    found = await stage.who("sid=b")
    assert (found.scope, found.issued, found.session) == (frozenset(), 1000.0, "")


async def test_it_is_shown_its_own_cookies_alone(stage: Stage) -> None:
    """Ours and others' stay here; which of two of a name counts is the OA's affair."""
    stage.oa.said["sid=b; oa=x; sid=c"] = {"mailbox": BOB}
    assert (await stage.who("bridge=t; sid=b; other=1; oa=x; sid=c")).mailboxes == (BOB,)
    assert stage.oa.asked == ["sid=b; oa=x; sid=c"]


async def test_what_it_sets_for_one_does_not_go_along_with_the_next(stage: Stage) -> None:
    """Its Set-Cookie is one browser's; kept here it would be everybody's."""
    stage.oa.said |= {"oa=b": {"mailbox": BOB}, "oa=a": {"mailbox": ANN}}
    assert (await stage.who("oa=b")).mailboxes == (BOB,)
    assert (await stage.who("oa=a")).mailboxes == (ANN,)
    assert stage.oa.asked == ["oa=b", "oa=a"]


async def test_what_it_says_unasked_is_said_of_nobody(stage: Stage) -> None:
    """It answered once, and then once more on the same connection: the next person would have been the one before."""
    stage.oa.said["sid=x"] = {"mailbox": BOB}
    answers = asyncio.Queue[asyncio.StreamWriter]()

    def write(writer: asyncio.StreamWriter, mailbox: str) -> None:
        body = b'{"mailbox":"%b"}' % mailbox.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            write(writer, ANN if b"sid=a" in head else BOB)
            answers.put_nowait(writer)

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, Egress().session() as session:
        oa = AskedOa(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        twice = Stage(oa, session)
        async with twice.office:
            assert (await twice.who("sid=b")).mailboxes == (BOB,)
            write(await answers.get(), BOB)
            # Meanwhile the loop has read what came.
            await stage.who("sid=x")
            assert (await twice.who("sid=a")).mailboxes == (ANN,)


async def test_which_credential_decides(stage: Stage) -> None:
    """A program's token and a ticket come before it, and it before our cookie; without its cookies it is not asked."""
    assert stage.access.credential(request("sid=b", Authorization="Bearer x")) == "bearer"
    assert stage.access.credential(request("sid=b", path="/ws?ticket=x")) == "ticket"
    assert stage.access.credential(request(f"bridge={token(ANN)}; sid=b")) == "oa"
    assert stage.access.credential(request(f"bridge={token(ANN)}; side=b; sid=")) == "cookie"
    assert stage.access.goes_along(request("sid=b"))


@pytest.mark.parametrize("status", [401, 403])
async def test_nobody_is_told_so(stage: Stage, status: int) -> None:
    """3009: whoever signs in may come back, and is asked about anew at once."""
    stage.oa.answer = (status, b"", {})
    refused = await stage.refusal("sid=b")
    assert (refused.status, refused.code, refused.label) == (401, 3009, "missing")
    stage.oa.answer, stage.oa.said["sid=b"] = None, {"mailbox": BOB}
    assert (await stage.who("sid=b")).mailboxes == (BOB,)


AWAY: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "an error": (500, b"", {}),
    "a redirect": (302, b"", {"Location": "/whoami"}),
    "a page for signing in": (200, b"<html>", {}),
    "no object": (200, b"[]", {}),
    "too much": (200, b'{"mailbox":"bob@gzdev.com"}' + b" " * MOST_BYTES, {}),
    "compressed": (200, b"\x1f\x8b", {"Content-Encoding": "br"}),
}


@pytest.mark.parametrize("case", AWAY)
async def test_what_is_no_answer_says_nothing_about_anybody(stage: Stage, case: str) -> None:
    """Who comes anew is told to come later; the question is not asked again elsewhere."""
    stage.oa.answer = AWAY[case]
    refused = await stage.refusal("sid=b")
    assert (refused.status, refused.code, refused.label, refused.retry_after_s) == (503, 3013, "oa", 3)
    assert len(stage.oa.asked) == 1


async def test_an_oa_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    """The same; the log says why, once a minute, and no cookie."""
    async with Egress().session() as session:
        stage = Stage(AskedOa("http://127.0.0.1:9/whoami"), session)
        async with stage.office:
            with caplog.at_level(logging.DEBUG):
                for _ in range(3):
                    assert (await stage.refusal("sid=secret-of-bob")).code == 3013
    assert [record.message for record in caplog.records] == ["the OA does not say who asks"]
    assert "secret-of-bob" not in repr([vars(record) for record in caplog.records])


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"mailbox": "bob"},
        {"mailbox": "b\u00f6b@gzdev.com"},
        {"mailbox": BOB, "mailboxes": ANN},
        {"mailbox": BOB, "mailboxes": [ANN] * 21},
        {"mailbox": BOB, "sid": 5},
        {"mailbox": BOB, "sid": "x" * 257},
        {"mailbox": BOB, "ttl": "60"},
        {"mailbox": BOB, "ttl": True},
    ],
    ids=repr,
)
async def test_an_answer_that_names_nobody_rightly_opens_nothing(stage: Stage, said: Any) -> None:
    """The OA has to be mended, so the browser does not come back by itself."""
    stage.oa.said["sid=b"] = said
    refused = await stage.refusal("sid=b")
    assert (refused.status, refused.code, refused.label) == (401, 3500, "claim")


async def test_an_answer_may_be_as_odd_as_json_can_be(stage: Stage) -> None:
    """It is one browser's refusal, and everybody else is asked about as before: the most deeply nested that is read."""
    nested = b"[" * 1022 + b"]" * 1022
    for said in (b'{"mailbox":%b}', b'{"mailbox":"bob@gzdev.com","mailboxes":[%b]}', b'{"ttl":%b}'):
        stage.oa.answer = 200, said % nested, {}
        refused = await stage.refusal("sid=b")
        assert (refused.status, refused.code, refused.label) == (401, 3500, "claim")
    stage.oa.answer, stage.oa.said["sid=b"] = None, {"mailbox": BOB}
    assert (await stage.who("sid=b")).mailboxes == (BOB,)


async def test_an_answer_holds_for_its_time(stage: Stage) -> None:
    """It is asked once for all tabs of a browser until then, and about each browser by itself."""
    stage.oa.said |= {"sid=b": {"mailbox": BOB, "ttl": 30}, "sid=a": {"mailbox": ANN}}
    for _ in range(3):
        await stage.who("sid=b")
    assert (await stage.who("sid=a")).mailboxes == (ANN,)
    assert len(stage.oa.asked) == 2
    stage.time += 30
    stage.oa.said["sid=b"] = {"mailbox": ANN}
    assert (await stage.who("sid=b")).mailboxes == (ANN,)


async def test_a_time_is_kept_within_bounds(stage: Stage) -> None:
    """A second to an hour, whatever the OA says."""
    for ttl, held in ((-5, 1), (1e12, 3600), (90.5, 90.5)):
        cookies = f"sid={ttl}"
        stage.oa.said[cookies] = {"mailbox": BOB, "ttl": ttl}
        assert (await stage.who(cookies)).expires == 1000 + held + KEEP_S


async def test_one_question_for_all_who_wait(stage: Stage) -> None:
    """Whoever gives up waiting takes nothing from the others."""
    stage.oa.said["sid=b"] = {"mailbox": BOB}
    stage.oa.gate.clear()
    waiting = [asyncio.create_task(stage.who("sid=b")) for _ in range(20)]
    await until(lambda: bool(stage.oa.asked))
    waiting[0].cancel()
    stage.oa.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.mailboxes for each in found[1:] if isinstance(each, Identity)} == {(BOB,)}
    assert len(stage.oa.asked) == 1


async def test_no_more_questions_are_open_than_the_oa_can_bear(stage: Stage) -> None:
    """The others wait their turn."""
    stage.oa.said |= {f"sid={n}": {"mailbox": BOB} for n in range(MOST_OPEN + 10)}
    stage.oa.gate.clear()
    waiting = [asyncio.create_task(stage.who(f"sid={n}")) for n in range(MOST_OPEN + 10)]
    await until(lambda: len(stage.oa.asked) == MOST_OPEN)
    stage.oa.gate.set()
    assert {each.mailboxes for each in await asyncio.gather(*waiting)} == {(BOB,)}
    assert stage.oa.most_open == MOST_OPEN


ANSWERS: dict[str, tuple[tuple[int, bytes, dict[str, str]], ...]] = {
    "known": ((200, b'{"mailbox":"bob@gzdev.com"}', {}),),
    "nobody": ((401, b"", {}), (403, b"", {})),
    "wrong": ((200, b"{}", {}), (200, b'{"mailbox":"bob@gzdev.com","sid":5}', {})),
    "away": tuple(AWAY.values()),
}


@pytest.mark.parametrize("outcome", ANSWERS)
async def test_each_question_is_counted_by_what_came_of_it(stage: Stage, outcome: str) -> None:
    """Once for all who wait, with the time that the OA took; an answer that still holds is no question."""
    for number, answer in enumerate(ANSWERS[outcome]):
        stage.oa.answer = answer
        asking = [stage.who(f"sid={number}") for _ in range(3)]
        await asyncio.gather(*asking, return_exceptions=True)
    asked = len(ANSWERS[outcome])
    counts = {each: sample(stage.metrics, "office_questions_total", outcome=each) for each in (*ANSWERS, "full")}
    assert counts == dict.fromkeys(counts, 0) | {outcome: asked}
    assert sample(stage.metrics, "office_question_seconds_count") == asked


async def test_what_is_not_asked_is_counted_too(stage: Stage) -> None:
    """Where too many wait for the OA, whoever comes is told to come later."""
    stage.oa.gate.clear()
    waiting = [asyncio.create_task(stage.who(f"sid={n}")) for n in range(MOST_WAITING)]
    # Each of them waits as soon as it has begun; how many have reached the OA by then does not matter.
    await asyncio.sleep(0)
    assert (await stage.refusal("sid=one-more")).retry_after_s == 3
    assert sample(stage.metrics, "office_questions_total", outcome="full") == 1
    assert sample(stage.metrics, "office_question_seconds_count") == 0
    for each in waiting:
        each.cancel()
    stage.oa.gate.set()


async def test_a_ticket_lasts_no_longer_than_the_answer(stage: Stage) -> None:
    """Nothing can be asked again for a connection that a ticket opened, and a ticket holds no cookie."""
    stage.oa.said["sid=b"] = {"mailbox": BOB, "ttl": 20}
    found = await stage.who("sid=b")
    assert found.ticket_ends == 1020
    assert "sid=b" not in repr(found)
    assert "sid=b" not in repr(found.asked)
