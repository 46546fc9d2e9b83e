"""A writer, a reader and raw access to a real, empty Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from bridge.events import DIRECTORY, MAIL_MISSED, MAIL_NEW, MAIL_UNREAD, SYSTEM, build_event
from bridge.journal.calls import Announce, RecordCount, RecordMail, RecordPoll, Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.reader import Reader
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S

KEYS = Keys("exmail")
LEASE_S = 600
BOB = "bob@gzdev.com"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client = RedisAddress(redis_url).client(timeout_s=PATIENCE_S)
    yield client
    await client.aclose()


@pytest.fixture
def new_writer(redis: Redis) -> Callable[..., Writer]:
    """Make writers, as of several workers."""

    def make(**options: Any) -> Writer:
        options = {"lease_s": LEASE_S, "retention": Retention(history_events=5), **options}
        return Writer(redis, KEYS, **options)

    return make


@pytest.fixture
async def writer(new_writer: Callable[..., Writer]) -> Writer:
    """A writer that leads."""
    writer = new_writer()
    assert await writer.claim() is not None
    return writer


@pytest.fixture
def reader(redis: Redis) -> Reader:
    return Reader(redis, KEYS, history_events=5, history_s=3600)


@pytest.fixture
def mirror(redis: Redis) -> Mirror:
    return Mirror(redis, KEYS)


def mail(mail_id: str, unread: int | None = 1, mailbox: str = BOB, time_s: float = 4e9) -> RecordMail:
    data = {"mailbox": mailbox, "mail_id": mail_id, "mail_subject": "你好", "unread": unread}
    event = build_event(namespace="exmail", stream=mailbox, type=MAIL_NEW, time_s=time_s, data=data, stamped=True)
    return RecordMail(event, mail_id, unread, count(unread or 0, mailbox).event)


def count(unread: int, mailbox: str = BOB, reason: str = "push") -> RecordCount:
    data = {"mailbox": mailbox, "reason": reason, "unread": unread}
    event = build_event(namespace="exmail", stream=mailbox, type=MAIL_UNREAD, time_s=4e9, data=data, stamped=True)
    return RecordCount(event, unread)


def poll(
    unread: int, asked_at: int, mailbox: str = BOB, *, sure: bool = False, before: int | None = None
) -> RecordPoll:
    """``sure``: asked a second time, ``before`` was the first answer (None: the same)."""
    data = {"mailbox": mailbox}
    missed = build_event(
        namespace="exmail", stream=mailbox, type=MAIL_MISSED, time_s=4e9, data=data, stamped=True, stamp="since"
    )
    proven = (unread if before is None else min(before, unread)) if sure else None
    return RecordPoll(count(unread, mailbox, "reconcile").event, unread, asked_at, missed, proven)


def announcement(type: str = "exmail.upstream.connected", **upstream: str) -> Announce:
    event = build_event(namespace="exmail", stream=SYSTEM, type=type, time_s=4e9, data={"why": "test"})
    return Announce(event, upstream)


def member_event(alias: str, type: str = "exmail.directory.user.added") -> Any:
    return build_event(namespace="exmail", stream=DIRECTORY, type=type, time_s=4e9, data={"alias": alias, "ver": 1})
