"""Orders of a command to the leader, and its answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bridge.events import to_json
from bridge.journal.orders import NotAnswered, Orders
from bridge.journal.writer import Writer
from tests.support.waiting import PATIENCE_S, until

from .conftest import BOB, KEYS


@pytest.fixture
def orders(redis: Any) -> Orders:
    return Orders(redis, KEYS)


async def test_an_order_is_done_and_answered_to_who_asked(redis: Any, orders: Orders, writer: Writer) -> None:
    """The oldest first, each answer to its own."""
    first = asyncio.create_task(orders.ask("forget", BOB))
    await until(lambda: _waiting(redis, 1))
    second = asyncio.create_task(orders.ask("resync"))
    await until(lambda: _waiting(redis, 2))
    forget = await orders.take()
    assert forget is not None
    assert (forget.what, forget.mailbox) == ("forget", BOB)
    await orders.answer(forget, {"ok": True, "n": 1})
    resync = await orders.take()
    assert resync is not None
    assert (resync.what, resync.mailbox) == ("resync", "")
    await orders.answer(resync, {"ok": True, "n": 2})
    assert await orders.take() is None
    assert [(await first)["n"], (await second)["n"]] == [1, 2]
    assert 0 < await redis.ttl(KEYS.answer(forget.id)) <= 60


async def test_without_a_leader_nothing_is_ordered(redis: Any, orders: Orders) -> None:
    """Said at once, and nothing waits for the next one."""
    with pytest.raises(NotAnswered, match="no worker leads"):
        await orders.ask("resync")
    assert not await redis.exists(KEYS.orders)


async def test_an_order_that_nobody_takes_is_withdrawn(redis: Any, orders: Orders, writer: Writer) -> None:
    """It must not be obeyed when nobody waits any more."""
    with pytest.raises(NotAnswered, match="nothing was done"):
        await orders.ask("release", within_s=0.01)
    assert not await redis.exists(KEYS.orders)


async def test_an_order_that_is_not_finished_in_time_goes_on(
    redis: Any, orders: Orders, writer: Writer, leap: Callable[[float], None]
) -> None:
    """The command cannot say what became of it, and says that."""
    asking = asyncio.create_task(orders.ask("release", within_s=PATIENCE_S))
    await until(lambda: _waiting(redis, 1))
    assert await orders.take() is not None
    leap(PATIENCE_S)
    with pytest.raises(NotAnswered, match="goes on"):
        await asking


async def test_an_order_that_was_begun_is_the_next_leader_s(
    redis: Any, orders: Orders, writer: Writer, leap: Callable[[float], None]
) -> None:
    """Until it is done, also when nobody waits any more: its sender was told that it goes on."""
    asking = asyncio.create_task(orders.ask("forget", BOB, within_s=PATIENCE_S))
    await until(lambda: _waiting(redis, 1))
    begun = await orders.take()
    leap(PATIENCE_S)
    with pytest.raises(NotAnswered, match="goes on"):
        await asking
    next_leader = Orders(redis, KEYS)
    again = await next_leader.take()
    assert again == begun
    assert again is not None
    await next_leader.answer(again, {"ok": True})
    assert await next_leader.take() is None


async def test_an_order_that_comes_too_late_is_answered_so(redis: Any, orders: Orders) -> None:
    """By Redis's clock, whatever the sender's says; and it is not obeyed."""
    seconds, _ = await redis.time()
    late, good = {"id": "a", "order": "release", "mailbox": "", "until": seconds - 1}, {"id": "b", "order": "resync"}
    await redis.lpush(KEYS.orders, to_json(late))
    await redis.lpush(KEYS.orders, to_json(good | {"until": seconds + 60}))
    taken = await orders.take()
    assert taken is not None
    assert taken.id == "b"
    answer = orjson.loads(await redis.get(KEYS.answer("a")))
    assert (answer["ok"], answer["expired"]) == (False, True)
    assert await redis.llen(KEYS.orders_taken) == 1


async def test_the_senders_clock_does_not_matter(
    redis: Any, orders: Orders, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour behind or ahead: the order is good for as long as he waits."""
    for skew_s in (-3600, 3600):
        now = time.time() + skew_s
        monkeypatch.setattr(time, "time", lambda now=now: now)
        asking = asyncio.create_task(orders.ask("resync", within_s=PATIENCE_S))
        await until(lambda: _waiting(redis, 1))
        taken = await orders.take()
        assert taken is not None
        await orders.answer(taken, {"ok": True})
        assert (await asking)["ok"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"7",
        b"{}",
        b'{"id":"a","order":"dance","mailbox":"","until":4e9}',
        b'{"id":"a","order":"forget","mailbox":7,"until":4e9}',
        b'{"id":7,"order":"forget","mailbox":"","until":4e9}',
        b'{"id":"a","order":"forget","mailbox":"","until":"soon"}',
        b'{"id":"a","order":"replay","mailbox":"","until":4e9,"ids":7}',
        b'{"id":"a","order":"replay","mailbox":"","until":4e9,"ids":[7]}',
        b'{"id":"a","order":["forget"],"mailbox":"","until":4e9}',
        b'{"id":"a","order":"forget","mailbox":"' + b"x" * 70_000 + b'","until":4e9}',
    ],
    ids=range(13),
)
async def test_what_is_no_order_is_thrown_away(redis: Any, orders: Orders, text: bytes) -> None:
    """Whatever lies in the list: a newer program may know more, an older or a broken one less."""
    await redis.lpush(KEYS.orders, text)
    await redis.lpush(KEYS.orders_taken, text)
    await redis.lpush(KEYS.orders, to_json({"id": "b", "order": "resync", "mailbox": "", "until": 4e9}))
    taken = await orders.take()
    assert taken is not None
    assert taken.id == "b"
    await orders.answer(taken, {"ok": True})
    assert await orders.take() is None
    assert not await redis.exists(KEYS.orders, KEYS.orders_taken)


async def _waiting(redis: Any, n: int) -> bool:
    return bool(await redis.llen(KEYS.orders) == n)
