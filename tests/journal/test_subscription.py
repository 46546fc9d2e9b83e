"""What one pub/sub connection says of itself."""

from __future__ import annotations

import asyncio
import gc
import select
import time

import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway
from bridge.journal.subscription import Subscription
from tests.support.redis_proxy import redis_proxy

PATIENCE_S = 0.2


async def test_what_was_confirmed_while_this_process_stood_still_is_confirmed(redis_url: str) -> None:
    """The answer lies in the socket when the patience is over: nobody's connection is cut for that."""
    subscription = Subscription(lambda messages: None, patience_s=PATIENCE_S)
    await subscription.connect(RedisAddress(redis_url))
    subscribing = asyncio.create_task(subscription.subscribe(["a", "b"]))
    await asyncio.sleep(0)
    assert subscription._transport is not None
    # Here nothing runs any more, as on a machine that is suspended.
    socket = subscription._transport.get_extra_info("socket")
    assert select.select([socket.fileno()], [], [], 60)[0]
    time.sleep(2 * PATIENCE_S)  # noqa: ASYNC251
    await subscribing
    assert subscription.open
    subscription.close()


async def test_what_is_not_confirmed_is_a_fault(redis_url: str) -> None:
    """A connection that is open and brings nothing is cut."""
    async with redis_proxy(redis_url) as way:
        subscription = Subscription(lambda messages: None, patience_s=PATIENCE_S)
        await subscription.connect(RedisAddress(way.url))
        way.deaf = True
        with pytest.raises(JournalAway):
            await subscription.subscribe(["a"])
        assert not subscription.open


async def test_many_channels_that_are_not_confirmed_are_one_fault(redis_url: str) -> None:
    """They are asked for in several pieces; asyncio has nothing to say of the others."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["message"]))
    async with redis_proxy(redis_url) as way:
        subscription = Subscription(lambda messages: None)
        await subscription.connect(RedisAddress(way.url))
        way.deaf = True
        subscribing = asyncio.create_task(subscription.subscribe([f"c{number}" for number in range(2000)]))
        await asyncio.sleep(0)
        subscription.close()
        await asyncio.wait([subscribing])
        assert isinstance(subscribing.exception(), JournalAway)
    del subscribing
    gc.collect()
    assert not said
