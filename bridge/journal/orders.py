"""Orders from a command to the worker that leads, and the answers.

Only the leader writes to the mirror, so commands ask it to. An order waits in a list. It has a deadline, by Redis's
clock, so that no leader finds it hours later and carries it out. A leader that takes an order moves it to a second list
until it is done; if the leader ends before that, the next one carries it out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from redis.asyncio import Redis

from bridge.events import from_json, to_json
from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

What = Literal["resync", "release", "refuse", "forget", "replay", "drop", "describe", "canary", "record", "recorded"]
"""Fetch all accounts and compare · delete what is held · keep it (``digest`` names what was shown) · forget
``mailbox`` · read dead documents (``ids``) again · delete them · describe the worker's own state, changing nothing ·
publish an event on the reserved stream (``ids``: its mark) · record what the provider sends (``ids``: for how many
seconds), changing nothing · hand over what was recorded."""

_ANSWER_S: Final = 60
_LOOK_S: Final = 0.1
_LONGEST: Final = 64 * 1024
EXPIRED: Final = "it came too late: nobody waits for it any more"


class NotAnswered(Exception):
    """No worker has carried out the order, or none has confirmed it; the message says which."""


@dataclass(frozen=True, slots=True)
class Order:
    """``until``: the deadline, epoch seconds of Redis's clock. ``text``: the order as it is stored."""

    id: str
    what: What
    mailbox: str
    until: float
    ids: Sequence[str] = ()
    digest: str = ""
    text: bytes = b""


class Orders:
    """Gives and takes orders."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._keys = keys

    # -- for commands

    async def check(self) -> None:
        """Find out by trying whether an order could be given; none is, and nothing stays.

        Where the server takes no writes, nobody can answer either: neither a worker nor an edge.

        Raises:
            TakesNoWrites, JournalMoved: it takes none.
            JournalAway, JournalRefused
        """
        # A leader that takes it in between drops it, because it orders nothing.
        nothing = to_json({"id": secrets.token_hex(8)})
        with translated():
            await self._redis.lpush(self._keys.orders, nothing)
            await self._redis.lrem(self._keys.orders, 1, nothing)

    async def ask(
        self, what: What, mailbox: str = "", *, ids: Sequence[str] = (), digest: str = "", within_s: float = 60.0
    ) -> Mapping[str, Any]:
        """Have the leader carry out an order; return its answer.

        Raises:
            NotAnswered: no worker leads, or it has not answered ``within_s``.
            JournalAway, JournalRefused
        """
        id = secrets.token_hex(8)
        loop = asyncio.get_running_loop()
        with translated():
            if not await self._redis.exists(self._keys.lease):
                raise NotAnswered("no worker leads; start one, it alone changes what is stored")
            until = await self._now_s() + within_s
            order = to_json({"id": id, "order": what, "mailbox": mailbox, "until": until, "ids": ids, "digest": digest})
            await self._redis.lpush(self._keys.orders, order)
            ends = loop.time() + within_s
            while loop.time() < ends:
                if (answer := await self._redis.get(self._keys.answer(id))) is not None:
                    return _read_answer(answer)
                await asyncio.sleep(_LOOK_S)
            if await self._redis.lrem(self._keys.orders, 1, order):
                raise NotAnswered(f"no worker took the order within {within_s:.0f} s; nothing was done")
            if (answer := await self._redis.get(self._keys.answer(id))) is not None:
                return _read_answer(answer)
        raise NotAnswered(f"the worker took the order and has not finished within {within_s:.0f} s; it goes on")

    # -- for the leader

    async def take(self) -> Order | None:
        """The oldest order: one that was begun and is not done, otherwise one whose deadline has not passed.

        Orders that cannot be read are dropped; those that came too late are answered with :data:`EXPIRED`.

        Raises:
            JournalAway, JournalRefused
        """
        begun = await self._oldest_begun()
        if begun is not None:
            return begun
        while True:
            with translated():
                text = await self._redis.lmove(self._keys.orders, self._keys.orders_taken, "RIGHT", "LEFT")
                if text is None:
                    return None
                now_s = await self._now_s()
            order = _read(text)
            if order is None:
                await self._remove(text)
            elif order.until <= now_s:
                await self.answer(order, {"ok": False, "expired": True, "error": EXPIRED})
            else:
                return order

    async def answer(self, order: Order, answer: Mapping[str, Any]) -> None:
        """Answer an order and remove it.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            # The answer first: after a crash in between the order is carried out again, but no answer is lost.
            await self._redis.set(self._keys.answer(order.id), to_json(answer), ex=_ANSWER_S)
        await self._remove(order.text)

    async def _oldest_begun(self) -> Order | None:
        while True:
            with translated():
                text = await self._redis.lindex(self._keys.orders_taken, -1)
            if text is None:
                return None
            if (order := _read(text)) is not None:
                return order
            await self._remove(text)

    async def _remove(self, text: bytes) -> None:
        with translated():
            await self._redis.lrem(self._keys.orders_taken, -1, text)

    async def _now_s(self) -> float:
        seconds, micros = await self._redis.time()
        return float(seconds) + float(micros) / 1e6


def _read_answer(text: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = from_json(text)
    return found


def _read(text: bytes) -> Order | None:
    """Read an order; ``None`` if it is not one. Anybody with the right to write the list could put anything there."""
    if len(text) > _LONGEST:
        return None
    try:
        found = from_json(text)
        order = Order(
            id=found["id"],
            what=found["order"],
            mailbox=found.get("mailbox", ""),
            until=float(found["until"]),
            ids=tuple(found.get("ids", ())),
            digest=found.get("digest", ""),
            text=text,
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    texts = (order.id, order.mailbox, order.digest, *order.ids)
    return order if order.what in get_args(What) and all(isinstance(each, str) for each in texts) else None
