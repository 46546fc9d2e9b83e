"""Clicks that lead nowhere: the right status, a page that says why, and no key asked for in vain."""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest

from bridge.journal.calls import Advance
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.standing import Standings
from bridge.provider.bizmail.calls import AWAY_TRIES
from bridge.simulator import Kind, Simulator
from tests.support.clicks import CHINESE, HTML, Stage, clicking, signon_alone
from tests.support.processes import free_port
from tests.support.stage import BOB, KEYS, bearer, leading_writer, running_edge, token

FOREIGN = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "empty"}
OWN = {"Sec_Fetch_Site": "same-origin"}
NOBODY = "nobody@gzdev.com"
SLAVE = "bobby@gzdev.com"


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"Cookie": ""}, 401, "no credential"),
        ({"Cookie": "exmail_bridge=nonsense"}, 401, "token"),
        ({"Authorization": "Bearer nonsense"}, 401, "token"),
        (FOREIGN | {"Sec_Fetch_Mode": "no-cors"}, 403, "cross-site"),
        (FOREIGN | {"Sec_Fetch_Mode": "cors", "Origin": "https://evil.example"}, 403, "evil.example"),
        ({"Origin": "null"}, 403, "null"),
        ({"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}, 403, "frame"),
        ({"Sec_Purpose": "prefetch;prerender"}, 503, "beforehand"),
        ({"X_Purpose": "preview"}, 503, "beforehand"),
        ({"X_Moz": "prefetch"}, 503, "beforehand"),
        (OWN | {"Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403, "no-cors"),
        (OWN | {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}, 403, "cors"),
        (OWN | {"Sec_Fetch_Mode": "same-origin", "Sec_Fetch_Dest": "empty"}, 403, "same-origin"),
    ],
)
async def test_who_may_not(stage: Stage, headers: dict[str, str], status: int, says: str) -> None:
    """Nobody, somebody forged, a script or image of any site with the cookie, a frame, a browser that guesses."""
    answer = await stage.browser.click(**headers)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert says in json.loads(answer.body)["message"]
    page = (await stage.browser.click(**headers, **HTML)).page
    assert page.facts["data-result"] in ("refused", "request")
    assert stage.keys == 0


@pytest.mark.parametrize("accept", ["image/avif,image/webp,image/*,*/*;q=0.8", "text/css,*/*;q=0.1", "video/webm,*/*"])
async def test_over_plain_http_an_image_shows_by_what_it_accepts(stage: Stage, accept: str) -> None:
    """No browser says there that it does not navigate; a person's window accepts a page."""
    answer = await stage.browser.click(Accept=accept)
    assert (answer.status, stage.keys, stage.clicks("opened")) == (403, 0, 0)
    assert (await stage.browser.click(Accept="text/html,image/webp,*/*;q=0.8")).status == 302


async def test_what_is_refused_unseen_costs_the_person_nothing(redis_url: str, simulator: Simulator) -> None:
    """A page with many images of it leaves the rate, the record and a ticket as they were."""
    async with clicking(redis_url, simulator, BRIDGE_SIGNON_RATE="1") as stage:
        ticket = await stage.browser.ticket()
        for _ in range(5):
            image = OWN | {"Sec_Fetch_Mode": "no-cors"}
            assert (await stage.browser.click(**image)).status == 403
            assert (await stage.browser.get(f"{stage.browser.url}/mail/open?ticket={ticket}", **image)).status == 403
        async with leading_writer(redis_url) as (_, redis):
            assert not await redis.exists(KEYS.audit)
        assert (await stage.browser.get(f"{stage.browser.url}/mail/open?ticket={ticket}")).status == 302


@pytest.mark.parametrize("alone", [False, True], ids=["in the edge", "a process of its own"])
async def test_a_click_follows_who_one_is_now(redis_url: str, simulator: Simulator, alone: bool) -> None:
    """A session that was ended, and an address that went to another person: 401, no key, and nothing recorded."""
    bob, ann, *_ = simulator.world.accounts
    async with AsyncExitStack() as stack:
        writer, redis = await stack.enter_async_context(leading_writer(redis_url))
        stage = await stack.enter_async_context(clicking(redis_url, simulator))
        url = await stack.enter_async_context(signon_alone(redis_url, simulator)) if alone else stage.browser.url
        click = f"{url}/mail/open"
        await writer.commit([Advance(None, None, slaves={SLAVE: ann}, moved=[SLAVE])])
        old = bearer(SLAVE, iat=int(time.time()) - 300)
        answer = await stage.browser.get(click, **old, **HTML)
        assert (answer.status, answer.page.facts["data-result"]) == (401, "refused")
        assert (await stage.browser.get(click, **bearer(SLAVE, iat=int(time.time()) + 50))).status == 302
        assert (await stage.browser.get(click, **bearer(bob, sid="s-1"))).status == 302
        await Standings(redis, KEYS).kick(session="s-1", kept_s=60)
        answer = await stage.browser.get(click, **bearer(bob, sid="s-1"))
        assert (answer.status, "session was ended" in answer.body) == (401, True)
        assert (await redis.xlen(KEYS.audit), stage.keys) == (2, 2)


async def test_a_token_that_names_another_mailbox(stage: Stage) -> None:
    """403, also where the wanted mailbox exists."""
    other = list(stage.simulator.world.accounts)[1]
    answer = await stage.browser.click(f"?mailbox={other}", **HTML)
    assert (answer.status, answer.page.facts["data-result"]) == (403, "refused")
    assert stage.keys == 0


@pytest.mark.parametrize("mail_id", ["a" * 257, "a\r\nSet-Cookie: a=b", "a\0", "a\u202eb", "a&mailid=b"])
async def test_what_cannot_be_a_mail_id(stage: Stage, mail_id: str) -> None:
    """400, before anything is spent: the ticket still opens the mailbox afterwards."""
    ticket = await stage.browser.ticket()
    path = f"{stage.browser.url}/mail/open?ticket={ticket}&mailid="
    answer = await stage.browser.get(path + quote(mail_id, safe="&="), **HTML)
    assert (answer.status, answer.page.facts["data-result"]) == (400, "request")
    assert (await stage.browser.get(f"{path}{'a' * 256}")).status == 302


async def test_a_scope_may_be_required(redis_url: str, simulator: Simulator) -> None:
    """``BRIDGE_SIGNON=scope``: the token, or the one behind the ticket, must carry ``open``."""
    async with clicking(redis_url, simulator, BRIDGE_SIGNON="scope") as stage:
        refused = await stage.browser.click(**HTML)
        assert (refused.status, refused.page.facts["data-result"]) == (403, "scope")
        for scope in ("other", ["reopen"]):
            assert (await stage.browser.get(f"{stage.browser.url}/mail/open", **bearer(scope=scope))).status == 403
        assert stage.keys == 0
        for scope in ("read open", ["open"]):
            assert (await stage.browser.get(f"{stage.browser.url}/mail/open", **bearer(scope=scope))).status == 302
        ticket = await stage.browser.ticket(scope="open")
        assert (await stage.browser.get(f"{stage.browser.url}/mail/open?ticket={ticket}")).status == 302


async def test_off_says_so(redis_url: str, simulator: Simulator) -> None:
    """404 with the reason, whether it was switched off or the process has no credentials of the provider."""
    async with clicking(redis_url, simulator, BRIDGE_SIGNON="off") as stage:
        answer = await stage.browser.click()
        assert (answer.status, "BRIDGE_SIGNON is off" in answer.body) == (404, True)
        async with running_edge(redis_url) as (url, _):
            answer = await stage.browser.get(f"{url}/mail/open", Cookie=f"exmail_bridge={token()}")
            assert (answer.status, "BRIDGE_PROVIDER_CLIENT_SECRET" in answer.body) == (404, True)


@pytest.mark.parametrize(
    ("kind", "value", "status", "result", "english", "chinese"),
    [
        (Kind.ERRCODE, 1301, 404, "unknown", "does not exist", "邮箱不存在"),
        (Kind.ERRCODE, 10001, 502, "denied", "refused", "拒绝"),
        (Kind.ERRCODE, 4242, 502, "denied", "refused", "拒绝"),
        (Kind.HTTP_STATUS, 502, 502, "away", "does not answer", "没有响应"),
    ],
)
async def test_a_provider_that_gives_no_key(
    stage: Stage, kind: Kind, value: int, status: int, result: str, english: str, chinese: str
) -> None:
    """A page in the reader's language, with the provider's own login and, unless it is in vain, a second try."""
    stage.simulator.faults.on(kind, endpoint="mail/authkey", value=value)
    for language, lang, words in (({}, "en", english), (CHINESE, "zh-CN", chinese)):
        answer = await stage.browser.click("?mailid=ZC1&x=1", **HTML, **language)
        assert answer.status == status
        page = answer.page
        assert (page.lang, answer.headers["content-language"], page.facts["data-result"]) == (lang, lang, result)
        assert words in page.text
        assert page.links["login"] == f"{stage.simulator.url}/"
        assert page.links.get("again") == (None if result == "unknown" else "?mailid=ZC1")
        assert not page.tags & {"script", "img", "iframe", "form", "link"}
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    assert stage.clicks(result) == 2


async def test_a_busy_provider(stage: Stage) -> None:
    """1002 to the end of the client's patience: 503, and when to come again."""
    stage.simulator.faults.on(Kind.ERRCODE, endpoint="mail/authkey", value=1002)
    answer = await stage.browser.click(**HTML)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.page.facts["data-result"] == "busy"
    stage.simulator.faults.off(Kind.ERRCODE, endpoint="mail/authkey")
    assert (await stage.browser.click()).status == 302


@pytest.mark.parametrize("barred", [BOB, SLAVE])
async def test_an_account_that_is_disabled_or_deleted(redis_url: str, simulator: Simulator, barred: str) -> None:
    """The mirror says so; the token may be as good as it was. By any of the account's addresses."""
    async with leading_writer(redis_url) as (writer, _), clicking(redis_url, simulator) as stage:
        await writer.commit([Advance(None, 5, profiles={BOB: b"{}"}, slaves={SLAVE: BOB}, barred=[BOB])])
        answer = await stage.browser.click(mailbox=barred, **HTML)
        assert (answer.status, answer.page.facts["data-result"]) == (403, "refused")
        assert "disabled or deleted" in answer.page.text
        assert stage.keys == 0


async def test_an_account_that_does_not_exist(stage: Stage) -> None:
    """The OA may know people whom the provider does not."""
    answer = await stage.browser.click(mailbox=NOBODY, **HTML)
    assert (answer.status, answer.page.facts["data-result"]) == (404, "unknown")


async def test_a_provider_that_cannot_be_reached(redis_url: str, simulator: Simulator) -> None:
    """Nobody listens there: the page comes at once, and names the login on its own host."""
    gone = {"BRIDGE_PROVIDER_API_URL": f"http://127.0.0.1:{free_port()}"}
    async with clicking(redis_url, simulator, **gone) as stage:
        answer = await stage.browser.click(**HTML)
        assert (answer.status, answer.page.facts["data-result"]) == (502, "away")
        assert answer.page.links["login"] == f"{simulator.url}/"


async def test_after_a_ticket_there_is_no_second_try(stage: Stage) -> None:
    """The ticket is spent: the page asks for another click instead of offering a link that must fail."""
    stage.simulator.faults.on(Kind.HTTP_STATUS, endpoint="mail/authkey", value=502)
    ticket = await stage.browser.ticket()
    answer = await stage.browser.get(f"{stage.browser.url}/mail/open?ticket={ticket}&mailid=ZC1", **HTML)
    assert "again" not in answer.page.links
    assert "click the mail once more" in answer.page.text
    assert ticket not in answer.body


async def test_foreign_text_stays_text(stage: Stage) -> None:
    """What a link holds is shown letter by letter, and escaped in the link that repeats it."""
    hostile = "<img src=x onerror=alert(1)>\"'&"
    stage.simulator.faults.on(Kind.HTTP_STATUS, endpoint="mail/authkey", value=502)
    page = (await stage.browser.click(f"?mailid={quote(hostile)}", **HTML)).page
    assert "img" not in page.tags
    assert (await stage.browser.click(page.links["again"], **HTML)).status == 502
    assert stage.simulator.calls.count("mail/authkey") == 2 * AWAY_TRIES
    refused = (await stage.browser.click(f"?mailbox={quote(hostile)}", **HTML)).page
    assert "img" not in refused.tags
    assert "<img" in refused.text


async def test_redis_away(own_server: EmbeddedServer, simulator: Simulator) -> None:
    """Nobody is let in uncounted and unrecorded: 503 and a page; the first click after its return works."""
    async with clicking(own_server.url, simulator) as stage:
        assert (await stage.browser.click()).status == 302
        own_server.kill()
        for headers in ({}, HTML, HTML | CHINESE):
            answer = await stage.browser.click(**headers)
            assert (answer.status, answer.headers["retry-after"]) == (503, "3")
        assert answer.page.facts["data-result"] == "journal"
        assert "暂时" in answer.page.text
        assert (stage.clicks("journal"), stage.keys) == (3, 1)
        own_server.restart()
        assert (await stage.browser.click()).status == 302


async def test_errors_are_json_for_programs(stage: Stage) -> None:
    """Without ``text/html`` in ``Accept``: the contract's two members, and how to authenticate."""
    answer = await stage.browser.get(f"{stage.browser.url}/mail/open")
    assert set(json.loads(answer.body)) == {"error", "message"}
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert BOB not in answer.body
