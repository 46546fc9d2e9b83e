"""Orders of a command to the worker that leads, and its answers.

Only the leader writes to the mirror, so a command asks it to. An order waits in a list for half a second at most; it
carries the time until which somebody waits for its answer, so that no leader finds it hours later and obeys.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from redis.asyncio import Redis

from bridge.events import from_json, to_json
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

What = Literal["resync", "release", "refuse", "forget", "replay", "drop"]
"""Pull everything and compare · delete what is held · keep it · forget ``mailbox`` · read dead documents (``ids``)
again · delete them."""

_ANSWER_S: Final = 60
_LOOK_S: Final = 0.1


class NotAnswered(Exception):
    """No worker has done what was ordered, or none has said so; the text tells which, for people."""


@dataclass(frozen=True, slots=True)
class Order:
    """``until``: epoch seconds after which nobody waits for the answer any more."""

    id: str
    what: What
    mailbox: str
    until: float
    ids: Sequence[str] = ()


class Orders:
    """Both ends of the list. ``wall`` gives epoch seconds."""

    def __init__(self, redis: Redis, keys: Keys, *, wall: Callable[[], float] = time.time) -> None:
        # redis-py types an answer as everything that some option could make of it; ours are bytes.
        self._redis: Any = redis
        self._keys = keys
        self._wall = wall

    # -- a command

    async def ask(
        self, what: What, mailbox: str = "", *, ids: Sequence[str] = (), within_s: float = 60.0
    ) -> Mapping[str, Any]:
        """Have the leader do it; return its answer.

        Raises:
            NotAnswered: no worker leads, or it has not answered ``within_s``.
            JournalAway, JournalRefused
        """
        id = secrets.token_hex(8)
        until = self._wall() + within_s
        order = to_json({"id": id, "order": what, "mailbox": mailbox, "until": until, "ids": ids})
        with translated():
            if not await self._redis.exists(self._keys.lease):
                raise NotAnswered("no worker leads; start one, it alone changes what is stored")
            await self._redis.lpush(self._keys.orders, order)
            while self._wall() < until:
                answer = await self._redis.get(self._keys.answer(id))
                if answer is not None:
                    found: Mapping[str, Any] = from_json(answer)
                    return found
                await asyncio.sleep(_LOOK_S)
            if await self._redis.lrem(self._keys.orders, 1, order):
                raise NotAnswered(f"no worker took the order within {within_s:.0f} s; nothing was done")
        raise NotAnswered(f"the worker took the order and has not finished within {within_s:.0f} s; it goes on")

    # -- the leader

    async def take(self) -> Order | None:
        """The oldest order that somebody still waits for.

        Raises:
            JournalAway, JournalRefused
        """
        while True:
            with translated():
                text = await self._redis.rpop(self._keys.orders)
            if text is None:
                return None
            found = from_json(text)
            if found["order"] in get_args(What) and found["until"] > self._wall():
                return Order(found["id"], found["order"], found["mailbox"], found["until"], found.get("ids", ()))

    async def answer(self, order: Order, told: Mapping[str, Any]) -> None:
        """Say what became of an order.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            await self._redis.set(self._keys.answer(order.id), to_json(told), ex=_ANSWER_S)
