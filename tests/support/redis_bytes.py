"""How many bytes a Redis needs for each thing that the bridge keeps: written by the bridge's own writer, read by MEMORY
USAGE.

The mails and people are the simulator's, which look like those of a Chinese company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from redis.asyncio import Redis

from bridge.events import to_json
from bridge.journal.calls import Advance, Call, RecordCount, RecordMail, Retention
from bridge.journal.clicks import Clicks
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer
from bridge.provider.pushes import MailArrived, UnreadChanged
from bridge.settings import load_settings
from bridge.simulator import World
from bridge.worker.translate import Translator

KEYS = Keys("exmail")
_NOW_S = 4e9
_BATCH = 500
_TRANSLATOR = Translator("exmail", "full", {})


def mails(world: World, n: int, mailbox: str) -> Iterator[RecordMail]:
    """``n`` mails to one mailbox, as the worker records them."""
    for mail in world.deliver_many(n, mailbox):
        push = MailArrived(mailbox, mail.mail_id, mail.sender, mail.receiver, mail.subject, mail.summary, mail.unread)
        yield _TRANSLATOR.mail(push, time_s=_NOW_S)


def counts(mailbox: str, n: int) -> Iterator[RecordCount]:
    """``n`` counts of one mailbox, each another one."""
    return (_TRANSLATOR.unread(UnreadChanged(mailbox, 500 + number % 7), time_s=_NOW_S) for number in range(n))


async def used_by(redis: Redis, key: str) -> int:
    """What a key takes with all it holds, in bytes."""
    return int(await redis.memory_usage(key, samples=0) or 0)


async def bytes_in_redis(redis: Redis, *, mailboxes: int, accounts: int) -> dict[str, float]:
    """Fill an empty server and measure it: bytes for one of each, as :mod:`bridge.sizing.measured` names them."""
    client: Any = redis
    await client.flushall()
    retention = Retention(history_events=10_000, events_max=100_000_000)
    writer = Writer(redis, KEYS, lease_s=60, retention=retention)
    assert await writer.claim() is not None
    world = World(7, users=1)
    names = [world.add_user().alias for _ in range(max(mailboxes, accounts))]
    found: dict[str, float] = {}

    async def event_of(calls: Iterable[Call], mailbox: str) -> tuple[float, float, float]:
        """JSON of an event, what it takes in a history and in the stream of all; the last two per event."""
        await client.delete(KEYS.events)
        made = list(calls)
        for first in range(0, len(made), _BATCH):
            await writer.commit(made[first : first + _BATCH])
        entries = await client.xrange(KEYS.log(mailbox))
        size = sum(len(fields[b"event"]) for _, fields in entries) / len(entries)
        return (
            size,
            await used_by(redis, KEYS.log(mailbox)) / len(entries),
            await used_by(redis, KEYS.events) / await client.xlen(KEYS.events),
        )

    found["mail_event"], found["mail_in_history"], found["mail_in_stream"] = await event_of(
        mails(world, 2000, names[0]), names[0]
    )
    found["seen_mail"] = await used_by(redis, KEYS.seen(names[0])) / await client.zcard(KEYS.seen(names[0]))
    found["count_event"], found["count_in_history"], found["count_in_stream"] = await event_of(
        counts(names[1], 2000), names[1]
    )
    for first in range(2, mailboxes, _BATCH):
        some = names[first : min(first + _BATCH, mailboxes)]
        await writer.commit([call for name in some for call in counts(name, 1)])
    alone = [await used_by(redis, KEYS.state(name)) for name in names[2:mailboxes]]
    found["mailbox"] = sum(alone) / len(alone)
    begun = [await used_by(redis, KEYS.log(name)) for name in names[2:mailboxes]]
    found["history"] = sum(begun) / len(begun) - found["count_in_history"]
    found |= await _directory(redis, writer, world, names[:accounts])
    await client.delete(KEYS.audit)
    clicks = Clicks(redis, KEYS, audit_max=100_000, audit_s=86_400)
    for number in range(300):
        await clicks.record(
            {
                "time": "2026-11-24T05:20:13.538Z",
                "mailbox": names[number % len(names)],
                "sid": f"{number:032x}",
                "address": "10.0.12.34",
                "result": "opened",
            }
        )
    found["click"] = await used_by(redis, KEYS.audit) / 300
    return found


async def _directory(redis: Redis, writer: Writer, world: World, names: list[str]) -> dict[str, float]:
    fields = load_settings({}, None).directory.fields
    profiles: dict[str, bytes] = {}
    slaves: dict[str, str] = {}
    for name in names:
        account = world.accounts[name]
        slave = f"{name.partition('@')[0]}.mail@{name.partition('@')[2]}"
        profile = {
            "alias": name,
            "name": account.name,
            "slaves": [slave],
            "parties": list(account.parties),
            "status": account.status,
        }
        profiles[name] = to_json({field: profile[field] for field in profile if field in fields})
        slaves[slave] = name
    for first in range(0, len(names), _BATCH):
        some = names[first : first + _BATCH]
        piece = {name: profiles[name] for name in some}
        theirs = {slave: name for slave, name in slaves.items() if name in piece}
        await writer.commit([Advance(None, None, profiles=piece, slaves=theirs)])
    return {
        "account": await used_by(redis, KEYS.directory) / len(names),
        "alias": await used_by(redis, KEYS.slaves) / len(slaves),
    }
