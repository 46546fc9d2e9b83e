"""A question to all edges: who looks at a mailbox? Only they know their sockets.

The question goes out on a channel, each edge appends its answer to a list that expires. Redis says how many edges
heard the question, so whoever asks knows how many answers to wait for.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from bridge.events import from_json, normalise_address, to_json
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_ANSWERS_S: Final = 60
_ANSWERS_MOST: Final = 1000
_LOOK_S: Final = 0.05

Answer = Mapping[str, Any]


class Inquiries:
    """Both ends. ``clock`` is monotonic seconds."""

    def __init__(self, redis: Redis, keys: Keys, *, clock: Callable[[], float] = time.monotonic) -> None:
        # redis-py types an answer as everything that some option could make of it; ours are bytes.
        self._redis: Any = redis
        self._keys = keys
        self._clock = clock

    async def ask(self, mailbox: str, *, within_s: float = 3.0) -> tuple[list[Answer], int]:
        """Ask all edges about a mailbox; return their answers, and how many heard the question.

        Raises:
            JournalAway, JournalRefused
        """
        id = secrets.token_hex(8)
        question = to_json({"id": id, "mailbox": mailbox})
        until = self._clock() + within_s
        with translated():
            heard = int(await self._redis.publish(self._keys.inquiry_channel, question))
            while True:
                answers = await self._redis.lrange(self._keys.testimony(id), 0, -1)
                if len(answers) >= heard or self._clock() >= until:
                    return [from_json(answer) for answer in answers], heard
                await asyncio.sleep(_LOOK_S)

    async def answer(self, id: str, told: Answer) -> None:
        """Say what this edge knows.

        Raises:
            JournalAway, JournalRefused
        """
        key = self._keys.testimony(id)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.rpush(key, to_json(told))
        pipeline.ltrim(key, 0, _ANSWERS_MOST - 1)
        pipeline.expire(key, _ANSWERS_S)
        with translated():
            await pipeline.execute()


def read_question(payload: bytes) -> tuple[str, str] | None:
    """``(id, mailbox)`` of a question; ``None`` if it is none: whoever may publish could send anything."""
    try:
        found = from_json(payload)
        id, mailbox = found["id"], normalise_address(found["mailbox"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return (id, mailbox) if isinstance(id, str) and _ID.fullmatch(id) and mailbox is not None else None


def by_edge(answers: Sequence[Answer]) -> list[Answer]:
    """The answers in the order of the edges' names."""
    return sorted(answers, key=lambda answer: str(answer.get("edge", "")))
