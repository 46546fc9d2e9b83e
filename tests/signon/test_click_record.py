"""What is kept of a click: one entry that says who was let in, one line in the log, and nothing that opens anything."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from redis.asyncio import Redis

from bridge.journal.clicks import Clicks
from bridge.journal.connect import RedisAddress
from bridge.obs.logs import JsonFormatter
from bridge.simulator import Kind, Simulator
from tests.support.clicks import HTML, Stage, clicking
from tests.support.stage import BOB, KEYS, token
from tests.support.waiting import PATIENCE_S

SESSION = "oa-session-77"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        yield redis


@pytest.fixture
def logged() -> Any:
    """All that is logged, at debug level and by every library, as the program writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("worker"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def clicks_in(logged: io.StringIO) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in logged.getvalue().splitlines()]
    return [line for line in lines if line["message"] == "click on a mail"]


async def entries(redis: Any) -> list[dict[str, str]]:
    return [fields for _, fields in await redis.xrange(KEYS.audit)]


async def test_an_entry_says_who_was_let_in(stage: Stage, redis: Any) -> None:
    """Time, mailbox, session, address, result; and no other field."""
    await stage.browser.click("?mailid=ZC1", Cookie=f"exmail_bridge={token(sid=SESSION)}")
    [entry] = await entries(redis)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    assert entry == {"mailbox": BOB, "sid": SESSION, "address": "127.0.0.1", "result": "opened"}


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        ("loopback", ["203.0.113.9"], "203.0.113.9"),
        ("loopback", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("loopback", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        ("loopback,10.0.0.0/8", ["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("loopback", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("loopback", ["203.0.113.9:80"], "203.0.113.9"),
        ("loopback", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("loopback", ["203.0.113.9, unknown"], "127.0.0.1"),
        ("loopback", [""], "127.0.0.1"),
        ("10.0.0.0/8", ["203.0.113.9"], "127.0.0.1"),
    ],
)
async def test_the_address_is_the_clients(
    redis_url: str, simulator: Simulator, redis: Any, trusted: str, forwarded: list[str], address: str
) -> None:
    """``X-Forwarded-For`` as far as trusted proxies wrote it: what a client puts before it is not believed."""
    async with clicking(redis_url, simulator, BRIDGE_EDGE_TRUSTED_PROXIES=trusted) as stage:
        await stage.browser.click(X_Forwarded_For=",".join(forwarded))
        [entry] = await entries(redis)
        assert entry["address"] == address


async def test_refusals_of_the_proved_are_recorded(stage: Stage, redis: Any, logged: io.StringIO) -> None:
    """What the provider said no to, and what somebody tried in vain; a click that proves nobody is only logged."""
    other = list(stage.simulator.world.accounts)[1]
    await stage.browser.click(f"?mailbox={other}")
    stage.simulator.faults.on(Kind.ERRCODE, endpoint="mail/authkey", value=1301, times=1)
    await stage.browser.click()
    await stage.browser.click(Cookie="exmail_bridge=forged")
    found = await entries(redis)
    assert [(entry["mailbox"], entry["result"], entry["sid"]) for entry in found] == [
        (BOB, "refused", ""),
        (BOB, "unknown", ""),
    ]
    lines = clicks_in(logged)
    assert [(line["result"], line["mailbox"]) for line in lines] == [
        ("refused", BOB),
        ("unknown", BOB),
        ("refused", ""),
    ]
    assert [line["reason"] for line in lines][::2] == ["mailbox", "token"]
    assert "1301" in lines[1]["reason"]


async def test_nothing_that_opens_a_mailbox_is_kept(
    redis_url: str, simulator: Simulator, redis: Any, logged: io.StringIO
) -> None:
    """No key, ticket, token, session or mail in logs, at debug level; no key, ticket or mail anywhere in Redis."""
    mail = simulator.world.deliver_mail(BOB)
    secrets = {"access token": "", "interface key": simulator.world.client_secret, "mail": mail.mail_id}
    async with clicking(redis_url, simulator) as stage:
        secrets["ticket"] = await stage.browser.ticket(sid=SESSION)
        address = f"{stage.browser.url}/mail/open?ticket={secrets['ticket']}&mailid={mail.mail_id}"
        [secrets["key"]] = parse_qs(urlsplit((await stage.browser.get(address)).location).query)["ticket"]
        assert (await stage.browser.get(address, **HTML)).status == 401
        secrets["cookie"] = token(sid=SESSION)
        simulator.faults.on(Kind.ERRCODE, endpoint="mail/authkey", value=4242)
        await stage.browser.click(f"?mailid={mail.mail_id}", Cookie=f"exmail_bridge={secrets['cookie']}", **HTML)
    secrets["access token"] = orjson.loads(await redis.get(KEYS.token))["value"]
    assert all(secrets.values())
    said = logged.getvalue()
    assert len(clicks_in(logged)) == 3
    for name, secret in (secrets | {"session": SESSION, "subject": mail.subject}).items():
        assert secret not in said, name
    stored = await everything(redis)
    for name in ("key", "ticket", "cookie", "mail", "interface key"):
        assert secrets[name] not in stored, name
    assert SESSION in stored


async def everything(redis: Any) -> str:
    """All keys and values."""
    readers = {
        "string": redis.get,
        "hash": redis.hgetall,
        "stream": redis.xrange,
        "zset": lambda key: redis.zrange(key, 0, -1),
        "set": redis.smembers,
    }
    found = [(key, await readers[await redis.type(key)](key)) for key in await redis.keys()]
    assert any(re.search(r":audit$", key) for key, _ in found)
    return repr(found)


async def test_the_record_is_bounded_by_count_and_age(redis_url: str, redis: Any) -> None:
    """Old entries go, the newest of too many stay, and a stream that nobody writes to any more ends as a whole."""
    client = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    clicks = Clicks(client, KEYS, audit_max=1000, audit_s=3600)
    pipeline = redis.pipeline()
    for number in range(2500):
        pipeline.xadd(KEYS.audit, {"result": "old"}, id=f"{number + 1}-0")
    await pipeline.execute()
    await clicks.record({"result": "new"})
    assert await redis.xlen(KEYS.audit) == 1
    assert (await entries(redis))[-1] == {"result": "new"}
    for _ in range(1500):
        pipeline.xadd(KEYS.audit, {"result": "new"})
    await pipeline.execute()
    await clicks.record({"result": "newest"})
    assert await redis.xlen(KEYS.audit) == 1000
    assert (await entries(redis))[-1] == {"result": "newest"}
    assert 0 < await redis.ttl(KEYS.audit) <= 3600
    await client.aclose()


async def test_who_cannot_be_recorded_is_not_let_in(stage: Stage, redis: Any) -> None:
    """The record is refused, the key is there: the person gets a page, and the key is forgotten."""
    await redis.set(KEYS.audit, "no stream")
    answer = await stage.browser.click(**HTML)
    assert (answer.status, answer.page.facts["data-result"]) == (503, "journal")
    assert "location" not in answer.headers
    assert stage.keys == 1
