"""The reserved stream: an operator opens it and sees the event go round; nobody else can, or is told of it."""

from __future__ import annotations

import hashlib
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from bridge.edge.canary import GOOD_FOR_S, Passes
from bridge.events import CANARY
from bridge.journal.canary import Canary, NotPublished
from bridge.journal.connect import RedisAddress
from bridge.journal.inquiry import Inquiries, read_question
from bridge.journal.orders import Orders
from tests.support.browser_side import open_sse, open_ws
from tests.support.guarded import Guarded
from tests.support.stage import BOB, KEYS, StageWriter, bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import running_worker, simulating

BY_EACH_CHANNEL = pytest.mark.usefixtures("by_each_channel")


def pass_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def admitted(redis: Any) -> str:
    """A pass that all edges know."""
    text = secrets.token_urlsafe(24)
    answers, heard = await Inquiries(redis, KEYS).announce(pass_of(text), within_s=PATIENCE_S)
    assert heard == len(answers) >= 1
    return text


@BY_EACH_CHANNEL
async def test_an_event_goes_round_and_leaves_nothing(redis_url: str) -> None:
    """Both transports get it in order; it is in no history, no stream, no metric of mails, is nobody on line, and no
    commit. What Redis loses of it is no loss, so no worker is told of it."""
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url) as (url, metrics):
        text = await admitted(redis)
        before = await redis.get(KEYS.commits)
        listener = redis.pubsub()
        await listener.psubscribe("exmail:mailbox:*", "exmail:mail.*", "exmail:system")
        async with (
            await open_ws(url, f"/ws?ticket={text}") as one,
            await open_sse(url, f"/events?ticket={text}") as other,
            await open_ws(url, "/ws", **bearer(BOB)) as bob,
        ):
            for line in (one, other):
                assert (await line.frame()).type == "exmail.snapshot"
                assert (await line.frame()).data["data"]["peer"] == "127.0.0.1"
            await bob.frame()
            sent = metrics.registry.get_sample_value("exmail_bridge_delivery_seconds_count")
            for number in (1, 2):
                assert await Canary(writer, writer.names).sing(f"mark {number}", at_s=0) == 1
                for line in (one, other):
                    # A heartbeat may come before it.
                    [event] = await line.events(1)
                    assert (event["type"], event["data"]) == ("exmail.canary", {"mark": f"mark {number}"})
            assert metrics.registry.get_sample_value("exmail_bridge_delivery_seconds_count") == sent
            await writer.commit([mail("Z1")])
            # Bob hears of his mail first: nothing else was sent to him.
            [event] = await bob.events(1)
            assert event["data"]["mail_id"] == "Z1"
            assert (await Inquiries(redis, KEYS).recollect(within_s=PATIENCE_S)).positions.keys() == {BOB}
        heard = []
        while (message := await listener.get_message(timeout=0.2)) is not None:
            heard.append(message.get("channel"))
        assert not any(b"canary" in each for each in heard if isinstance(each, bytes))
        await listener.aclose()
        assert int(await redis.get(KEYS.commits)) == int(before or 0) + 1
        assert await redis.xlen(KEYS.events) == 1
        assert not await redis.exists(KEYS.log("canary"))
        assert not await redis.sismember(KEYS.wanted, "canary")
        assert await redis.zscore(KEYS.online, "canary") is None


async def test_nobody_else_can_open_it(redis_url: str) -> None:
    """No token names it, whatever it claims; no ticket of a browser; a pass opens neither history nor counts, gets no
    ticket, and no click."""
    async with leading_writer(redis_url) as (_, redis), running_edge(redis_url) as (url, _):
        for claims in ({"sub": "canary"}, {"mailboxes": ["canary"]}):
            made = token(**claims) if "mailboxes" in claims else token("canary")
            async with await open_ws(url, "/ws", Authorization=f"Bearer {made}") as line:
                assert await line.end() == 3500
        async with await open_ws(url, "/ws?mailbox=canary", **bearer(BOB)) as line:
            assert await line.end() == 3507
        text = await admitted(redis)
        async with aiohttp.ClientSession() as session:
            for path in ("unread", "history", "mail/open"):
                async with session.get(f"{url}/{path}", params={"ticket": text}, allow_redirects=False) as answer:
                    assert answer.status in (401, 404), path
            async with session.post(f"{url}/ticket", params={"ticket": text}) as answer:
                assert answer.status == 401
        async with await open_ws(url, f"/ws?ticket={text}x") as line:
            assert await line.end() == 3009


async def test_a_pass_ends_and_many_are_bounded() -> None:
    """After a minute it opens nothing; whoever may announce fills no memory with it."""

    class Nothing:
        async def put_ticket(self, claims: bytes, *, life_s: int = 30) -> str:
            return ""

        async def take_ticket(self, ticket: str) -> bytes | None:
            return None

    now = 0.0
    passes = Passes(Nothing(), clock=lambda: now)
    passes.admit(pass_of("one"))
    assert await passes.take_ticket("one") is not None
    now = GOOD_FOR_S
    assert await passes.take_ticket("one") is None
    for number in range(40):
        passes.admit(pass_of(str(number)))
    good = [number for number in range(40) if await passes.take_ticket(str(number)) is not None]
    assert good == list(range(24, 40))


@pytest.mark.parametrize("digest", ["", "x" * 64, "0" * 63, 1, None])
def test_what_is_no_digest_is_no_question(digest: Any) -> None:
    """Anybody with the right to publish could send anything."""
    assert read_question(orjson.dumps({"id": "0" * 16, "canary": digest})) is None


async def test_the_leader_sings_when_it_is_ordered_to(redis_url: str) -> None:
    """The order of an operator; who stands by or does not lead sings nothing."""
    async with (
        simulating() as simulator,
        running_worker(redis_url, simulator) as worker,
        RedisAddress(redis_url).client() as redis,
    ):
        await worker.until_leading()
        answer = await Orders(redis, KEYS).ask("canary", ids=("mark",))
        assert answer == {"ok": True, "heard": 0}


@BY_EACH_CHANNEL
async def test_an_older_access_list_costs_the_canary_and_nothing_else(tmp_path: Path) -> None:
    """The worker is refused the channel: the order says so, and the worker goes on."""
    with Guarded(tmp_path) as guarded:
        lines = guarded.file.read_text()
        without = lines
        for sharded in (False, True):
            channel = f" &{KEYS.mailbox_channel(CANARY, sharded=sharded)}"
            assert channel in lines
            without = without.replace(channel, "")
        guarded.file.write_text(without)
        with guarded.client("admin") as admin:
            admin.acl_load()
        url = guarded.server.url
        async with RedisAddress(url, "worker", lambda: "password of worker").client() as redis:
            writer = StageWriter(redis)
            assert await writer.claim() is not None
            with pytest.raises(NotPublished, match=r"users\.acl"):
                await Canary(writer, writer.names).sing("mark", at_s=0)
            assert [outcome.result for outcome in await writer.commit([mail("Z1")])] == ["published"]
            await writer.release()
            guarded.file.write_text(lines)
            with guarded.client("admin") as admin:
                admin.acl_load()
        async with RedisAddress(url, "worker", lambda: "password of worker").client() as redis:
            writer = StageWriter(redis)
            assert await writer.claim() is not None
            assert await Canary(writer, writer.names).sing("mark", at_s=0) == 0


async def test_a_leader_sends_one_by_itself_and_every_edge_times_it(redis_url: str) -> None:
    """Also where nobody is connected, and while an operator looks."""
    async with simulating() as provider, running_edge(redis_url) as (url, metrics):
        value = metrics.registry.get_sample_value
        async with running_worker(redis_url, provider):
            await until(lambda: (value("exmail_bridge_canary_seconds_count") or 0) >= 1)
            heard = value("exmail_bridge_canary_heard_timestamp_seconds")
            assert heard is not None
            assert abs(heard - time.time()) < 600
            async with RedisAddress(redis_url).client() as redis:
                text = await admitted(redis)
                async with await open_ws(url, f"/ws?ticket={text}") as line:
                    assert (await line.frame()).type == "exmail.snapshot"
                    await until(lambda: (value("exmail_bridge_canary_seconds_count") or 0) >= 2)


@BY_EACH_CHANNEL
async def test_the_canary_of_another_database_is_not_ours(redis_url: str) -> None:
    """Redis publishes to every database of a server. A leader of the same namespace in another one says nothing of
    ours: not before our leader's first, and not after; and ours is heard beside it."""
    stranger = f"{redis_url}?db=7"
    async with (
        leading_writer(redis_url) as (ours, redis),
        leading_writer(stranger) as (theirs, elsewhere),
        running_edge(redis_url) as (_, metrics),
    ):
        value = metrics.registry.get_sample_value
        heard = "exmail_bridge_canary_seconds_count"
        # Each is heard by the same edge: their channels are one.
        assert await Canary(theirs, theirs.names).sing("theirs", at_s=1) == 1
        assert await Canary(ours, ours.names).sing("ours", at_s=2) == 1
        await until(lambda: value(heard) == 1)
        assert await Canary(theirs, theirs.names).sing("theirs", at_s=3) == 1
        assert await Canary(ours, ours.names).sing("ours", at_s=4) == 1
        await until(lambda: value(heard) == 2)
        await redis.incr(KEYS.generation)
        assert await Canary(theirs, theirs.names).sing("theirs", at_s=5) == 1
        assert await Canary(ours, ours.names).sing("ours, of a new epoch", at_s=6) == 1
        await until(lambda: value(heard) == 3)
        assert await elsewhere.hget(KEYS.state("canary"), "epoch") is not None
