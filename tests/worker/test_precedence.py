"""What was pushed before an address changed hands stays its former holder's, however late it comes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from bridge.journal.orders import Orders
from bridge.simulator import Simulator
from bridge.simulator.faults.faults import Kind
from bridge.worker.directory import USUAL_PACE, Directory
from bridge.worker.precedence import Precedence
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, Told, running_worker

from .conftest import nothing_waits
from .test_listen_to_events import listening


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever leaves an address stays for as long as the test takes, instead of some seconds."""
    defaults: Any = Directory.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "pace", replace(USUAL_PACE, push_s=PATIENCE_S))


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.usefixtures("patient")
async def test_a_mail_that_the_news_of_its_mailbox_outran_is_not_the_next_holders(
    redis_url: str, simulator: Simulator, told: Told, replayed: bool
) -> None:
    """A mail waits behind a slow document; its account is deleted and made anew, and an answer says so before it.

    A cursor in a kept document that is read again has come on no connection.
    """
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        if replayed:
            entry = {"reason": "shape", "size": "20", "kept": "whole", "document": f'{{"Ver":{10**17}}}'}
            id = (await told.redis.xadd(KEYS.dead, entry)).decode()
            answer = await Orders(told.redis, KEYS).ask("replay", ids=[id], within_s=PATIENCE_S)
            assert [each["result"] for each in answer["replayed"]] == ["version"]
        simulator.faults.on(Kind.DRIP, endpoint="listen", value=0.001, times=1)
        slow = world.deliver_mail(next(alias for alias in world.accounts if alias != BOB), summary="x" * 1500)
        theirs = world.deliver_mail(BOB)
        simulator.faults.clear()
        world.delete_user(BOB)
        world.add_user(BOB, name="Another")
        # The news of it waits behind the slow document, too; an order makes the leader ask.
        await Orders(told.redis, KEYS).ask("refuse", digest="none", within_s=PATIENCE_S)
        await until(lambda: _has(told, slow.mail_id))
        await until(lambda: _is_another(told))
        last = world.deliver_mail(BOB)
        await until(lambda: _has(told, last.mail_id))
        kept = [orjson.loads(fields[b"event"]) for _, fields in await told.redis.xrange(KEYS.log(BOB))]
        ids = [event["data"]["mail_id"] for event in kept if event["type"] == "exmail.mail.new"]
        assert theirs.mail_id not in ids
        assert ids == [last.mail_id]


async def _has(told: Told, mail_id: str) -> bool:
    return any(data["mail_id"] == mail_id for data in await told.data("mail.new"))


async def _is_another(told: Told) -> Any:
    return await told.redis.zscore(KEYS.moved, BOB)


@pytest.mark.usefixtures("patient")
async def test_what_was_read_is_committed_before_an_address_changes_hands(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """Redis takes nothing for a while: mails and news wait together, and go on in their order."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        await told.redis.client_pause(1500, all=False)
        theirs = world.deliver_mail(BOB)
        world.delete_user(BOB)
        world.add_user(BOB, name="Another")
        await until(lambda: _is_another(told))
        last = world.deliver_mail(BOB)
        await until(lambda: _has(told, last.mail_id))
        kept = await told.redis.xrange(KEYS.log(BOB))
        assert theirs.mail_id.encode() not in b"".join(fields[b"event"] for _, fields in kept)


async def test_the_push_of_the_answer_is_waited_for() -> None:
    """Not of an older one; a new connection brings nothing of before."""
    precedence = Precedence(nothing_waits, patience_s=30)
    await precedence.settled()
    precedence.pushed(4)
    precedence.answered(5)
    waiting = asyncio.create_task(precedence.settled())
    precedence.pushed(4)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    precedence.pushed(5)
    await waiting
    precedence.answered(6)
    waiting = asyncio.create_task(precedence.settled())
    await asyncio.sleep(0)
    precedence.began()
    await waiting


async def test_a_push_that_does_not_come_is_waited_for_once() -> None:
    """It was lost, or the provider pushes none: whoever leaves an address must not stay for that."""
    committed: list[int] = []

    async def caught_up() -> None:
        committed.append(1)

    precedence = Precedence(caught_up, patience_s=0.05)
    precedence.answered(5)
    await precedence.settled()
    assert committed == [1]
    again = Precedence(caught_up, patience_s=3600)
    again.answered(5)
    again._pushed = 5
    await again.settled()
    assert committed == [1, 1]
