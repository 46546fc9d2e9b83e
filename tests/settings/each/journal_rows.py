"""The settings of what is kept, and where."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from bridge.app.parts import build_reader, redis_address
from bridge.journal.calls import Bury, RecordCount, RecordMail
from bridge.journal.clicks import Clicks
from bridge.journal.errors import JournalError
from bridge.journal.reader import OpenRequest
from bridge.provider.pushes import MailArrived, UnreadChanged
from bridge.worker.translate import Translator
from tests.settings.each.bench import Bench, Row
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S


def a_mail(namespace: str = "exmail", *, at_s: float | None = None, mail_id: str = "Z1") -> RecordMail:
    push = MailArrived(BOB, mail_id, "a@x.cn", BOB, "subject", "summary", 1)
    return Translator(namespace, "full", {}).mail(push, time_s=at_s or time.time())


def a_count(unread: int) -> RecordCount:
    return Translator("exmail", "full", {}).unread(UnreadChanged(BOB, unread), time_s=time.time())


async def namespace(bench: Bench, value: str) -> None:
    settings = bench.settings(BRIDGE_NAMESPACE=value)
    writer = await bench.writer(settings)
    async with bench.redis.pubsub() as heard:
        await heard.psubscribe("*")
        await heard.get_message(timeout=PATIENCE_S)
        await writer.commit([a_mail(value)])
        channels = {(await heard.get_message(timeout=PATIENCE_S))["channel"].decode() for _ in range(2)}
    assert channels == {f"{value}:mailbox:{BOB}", f"{value}:mail.new"}
    assert {key.decode().partition("}")[0] for key in await bench.redis.keys()} == {f"{{{value}"}


async def redis_url(bench: Bench, value: str) -> None:
    client = redis_address(bench.settings(BRIDGE_REDIS_URL=bench.redis_url + value)).client()
    await client.set("here", 1)
    assert (await client.client_info())["db"] == int(value.rpartition("=")[2] or 0)
    await client.delete("here")
    await client.aclose()


async def user(bench: Bench, name: str, password: str) -> None:
    """Who is known by name and password is that user."""
    await bench.redis.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", "~*", "+@all")
    settings = bench.settings(BRIDGE_REDIS_USERNAME=name, BRIDGE_REDIS_PASSWORD=password)
    client = redis_address(settings).client()
    try:
        assert await client.acl_whoami() == name
    finally:
        await client.aclose()
        await bench.redis.execute_command("ACL", "DELUSER", name)


async def username(bench: Bench, value: str) -> None:
    await user(bench, value, "hush")


async def password(bench: Bench, value: str) -> None:
    await user(bench, "somebody", value)


async def sentinel_password(bench: Bench, value: str) -> None:
    said = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        with suppress(ConnectionError):
            said += await reader.read(65536)
            writer.write(b"-WRONGPASS wrong\r\n")
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"redis+sentinel://127.0.0.1:{port}/mymaster/0"
        address = redis_address(bench.settings(BRIDGE_REDIS_URL=url, BRIDGE_REDIS_SENTINEL_PASSWORD=value))
        client = address.client()
        with suppress(JournalError, OSError, Exception):
            await client.ping()
        await client.aclose()
    assert b"AUTH" in said
    assert value.encode() in said


async def sharded(bench: Bench, value: str) -> None:
    """By which channels a mailbox's event comes. What a cluster makes of them: tests/journal/test_cluster.py."""
    writer = await bench.writer(bench.settings(BRIDGE_REDIS_SHARDED=value))
    plain, of_a_shard = KEYS.mailbox_channel(BOB), KEYS.mailbox_channel(BOB, sharded=True)
    async with bench.redis.pubsub() as heard:
        await heard.subscribe(plain, KEYS.kind_channel("mail.new"))
        await heard.ssubscribe(of_a_shard)
        for _ in range(3):
            await heard.get_message(timeout=PATIENCE_S)
        await writer.commit([a_mail()])
        channels = set()
        while (message := await heard.get_message(timeout=PATIENCE_S if not channels else 0.1)) is not None:
            channels.add(message["channel"].decode())
    expected = {"off": {plain}, "beside": {plain, of_a_shard}, "instead": {of_a_shard}}
    assert channels == expected[value] | {KEYS.kind_channel("mail.new")}


async def history_events(bench: Bench, value: str) -> None:
    settings, most = bench.settings(BRIDGE_HISTORY_EVENTS=value), int(value)
    writer = await bench.writer(settings)
    await bench.fill(KEYS.log(BOB), most, "event", '{"as_of":9999999999999}}')
    state = {"generation": writer.generation, "epoch": "abcdefgh", "seq": most, "unread": 1, "as_of": 1}
    await bench.redis.hset(KEYS.state(BOB), mapping=state)
    await writer.commit([a_count(5)])
    assert await bench.redis.xlen(KEYS.log(BOB)) == most
    [(newest, _)] = await bench.redis.xrevrange(KEYS.log(BOB), count=1)
    assert newest == f"{most + 1}-0".encode()


async def history_seconds(bench: Bench, value: str) -> None:
    settings, seconds = bench.settings(BRIDGE_HISTORY_SECONDS=value), int(value)
    writer = await bench.writer(settings)
    now = time.time()
    for age_s, mail_id in ((seconds + 30, "old"), (seconds - 30, "young")):
        await writer.commit([a_mail(at_s=now - age_s, mail_id=mail_id)])
    [opened] = await build_reader(settings, bench.redis).open([OpenRequest(BOB)])
    assert [b'"young"' in event for event in opened.events] == [True]
    assert seconds - 30 < await bench.redis.ttl(KEYS.log(BOB)) <= seconds


async def events_max(bench: Bench, value: str) -> None:
    most = int(value)
    there = min(most, 20_000) + 300
    writer = await bench.writer(bench.settings(BRIDGE_EVENTS_MAX=value))
    await bench.fill(KEYS.events, there, "event", "{}", first="1-", last="")
    await writer.commit([a_mail()])
    left = await bench.redis.xlen(KEYS.events)
    assert most <= left <= most + 100 if there > most else left == there + 1


async def audit_max(bench: Bench, value: str) -> None:
    audit = bench.settings(BRIDGE_AUDIT_MAX=value).audit
    there = min(audit.max, 5000) + 134
    await bench.fill(KEYS.audit, there, "result", "old", first=str(int(time.time() * 1000) - 9999) + "-", last="")
    await Clicks(bench.redis, KEYS, audit_max=audit.max, audit_s=audit.seconds).record({"result": "new"})
    assert await bench.redis.xlen(KEYS.audit) == min(audit.max, there + 1)


async def aged(bench: Bench, key: str, seconds: int, *fields: str) -> None:
    """Two entries, of which one is a minute too old."""
    now_ms = int(time.time() * 1000)
    for age_ms in (seconds * 1000 + 60_000, seconds * 1000 - 30_000):
        await bench.redis.execute_command("XADD", key, f"{now_ms - age_ms}-0", *fields)


async def audit_seconds(bench: Bench, value: str) -> None:
    audit = bench.settings(BRIDGE_AUDIT_SECONDS=value).audit
    await aged(bench, KEYS.audit, audit.seconds, "result", "old")
    await Clicks(bench.redis, KEYS, audit_max=audit.max, audit_s=audit.seconds).record({"result": "new"})
    assert await bench.redis.xlen(KEYS.audit) == 2
    assert audit.seconds - 30 < await bench.redis.ttl(KEYS.audit) <= audit.seconds


DEAD = ("reason", "not-json", "size", "1", "kept", "whole", "document", "x")


async def dead_max(bench: Bench, value: str) -> None:
    settings = bench.settings(BRIDGE_DEAD_MAX=value)
    writer = await bench.writer(settings)
    first = str(int(time.time() * 1000) - 99) + "-"
    await bench.fill(KEYS.dead, settings.dead.max, *DEAD, first=first, last="")
    await writer.commit([Bury("not-json", 1, b"y", "whole")])
    assert await bench.redis.xlen(KEYS.dead) == settings.dead.max


async def dead_seconds(bench: Bench, value: str) -> None:
    settings = bench.settings(BRIDGE_DEAD_SECONDS=value)
    writer = await bench.writer(settings)
    await aged(bench, KEYS.dead, settings.dead.seconds, *DEAD)
    await writer.commit([Bury("not-json", 1, b"y", "whole")])
    assert await bench.redis.xlen(KEYS.dead) == 2
    assert settings.dead.seconds - 30 < await bench.redis.ttl(KEYS.dead) <= settings.dead.seconds


ROWS = {
    "BRIDGE_NAMESPACE": Row(("a", "corp-1", "0" * 32), namespace),
    # TLS, sentinels, clusters: tests/journal/test_redis_tls.py, test_sentinel.py, test_cluster.py.
    "BRIDGE_REDIS_URL": Row(("", "?db=7", "?db=15"), redis_url),
    "BRIDGE_REDIS_USERNAME": Row(("a", "exmail-bridge", "u" * 300), username),
    "BRIDGE_REDIS_PASSWORD": Row(("x", "hush hush/#?%密码", "x" * 500), password),
    "BRIDGE_REDIS_SENTINEL_PASSWORD": Row(("x", "hush hush密码", "x" * 500), sentinel_password),
    "BRIDGE_REDIS_SHARDED": Row(("off", "beside", "instead"), sharded),
    "BRIDGE_HISTORY_EVENTS": Row(("1", "200", "100000"), history_events),
    "BRIDGE_HISTORY_SECONDS": Row(("60", "86400", "31536000"), history_seconds),
    "BRIDGE_EVENTS_MAX": Row(("1000", "20000", "100000000"), events_max),
    "BRIDGE_AUDIT_MAX": Row(("100", "5000", "100000000"), audit_max),
    "BRIDGE_AUDIT_SECONDS": Row(("3600", "15552000", "315360000"), audit_seconds),
    "BRIDGE_DEAD_MAX": Row(("0", "1000", "10000"), dead_max),
    "BRIDGE_DEAD_SECONDS": Row(("60", "604800", "31536000"), dead_seconds),
}
