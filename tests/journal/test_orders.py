"""Orders of a command to the leader, and its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.events import to_json
from bridge.journal.orders import NotAnswered, Orders
from bridge.journal.writer import Writer
from tests.support.waiting import until

from .conftest import BOB, KEYS


@pytest.fixture
def orders(redis: Any) -> Orders:
    return Orders(redis, KEYS)


async def test_an_order_is_taken_once_and_answered_to_who_asked(redis: Any, orders: Orders, writer: Writer) -> None:
    """The oldest first, each answer to its own."""
    first = asyncio.create_task(orders.ask("forget", BOB))
    await until(lambda: _waiting(redis, 1))
    second = asyncio.create_task(orders.ask("resync"))
    await until(lambda: _waiting(redis, 2))
    forget, resync = await orders.take(), await orders.take()
    assert forget is not None
    assert resync is not None
    assert ((forget.what, forget.mailbox), (resync.what, resync.mailbox)) == (("forget", BOB), ("resync", ""))
    assert await orders.take() is None
    await orders.answer(resync, {"ok": True, "n": 2})
    await orders.answer(forget, {"ok": True, "n": 1})
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


async def test_an_order_that_is_not_finished_in_time_goes_on(redis: Any, orders: Orders, writer: Writer) -> None:
    """The command cannot say what became of it, and says that."""
    asking = asyncio.create_task(orders.ask("release", within_s=0.3))
    await until(lambda: _waiting(redis, 1))
    assert await orders.take() is not None
    with pytest.raises(NotAnswered, match="goes on"):
        await asking


async def test_old_and_unknown_orders_are_not_obeyed(redis: Any, orders: Orders) -> None:
    """A command that was killed leaves its order behind; a newer program may know more of them."""
    order = {"id": "a", "order": "release", "mailbox": "", "until": 4e9}
    for text in (order | {"until": 1e9}, order | {"order": "dance"}, order | {"id": "b"}):
        await redis.lpush(KEYS.orders, to_json(text))
    taken = await orders.take()
    assert taken is not None
    assert taken.id == "b"
    assert await orders.take() is None


async def _waiting(redis: Any, n: int) -> bool:
    return bool(await redis.llen(KEYS.orders) == n)
