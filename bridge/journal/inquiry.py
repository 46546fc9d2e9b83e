"""Ask all edges what only they know: who has a mailbox open, which positions they received, or how they are.

The question is published on a channel, and each edge appends its answer to a list that expires. PUBLISH returns how
many edges received the question, so the asker knows how many answers to wait for.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from redis.asyncio import Redis

from bridge.events import DIRECTORY, from_json, normalise_address, to_json
from bridge.journal.client import typed
from bridge.journal.errors import translated
from bridge.journal.keys import Keys
from bridge.journal.script import ScriptCall

_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_EPOCH: Final = re.compile(r"[a-z0-9]{8}", re.ASCII)
_COUNT_MOST: Final = 2**53
_GENERATION_MOST: Final = 10**14
"""Generations are times in ms, of 13 digits today. A new one is greater than all that are remembered, so after a lie
that is as great as a number can be, none could follow."""
_ANSWERS_S: Final = 60
_ANSWERS_MOST: Final = 1000
_LOOK_S: Final = 0.05

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """``about``: one ``mailbox`` (why was somebody not told?), the ``memory`` of what an edge was given, the edge
    itself; or, for the ``canary``, whether it will admit whoever shows what has this ``digest``."""

    id: str
    about: Literal["mailbox", "memory", "edge", "canary"]
    mailbox: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What edges received from the journal.

    ``generation``: the greatest one. ``commits``: the least number of commits in it. ``positions``: of its streams,
    stream → (epoch, seq).
    """

    generation: int = 0
    commits: int = 0
    positions: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def as_calls(self, keys: Keys, lease: str) -> list[ScriptCall]:
        """The script's ``compare`` for each stream; if there is none for any, because it looks at more than that."""
        known = ("compare", lease, self.generation, self.commits)
        return [
            (
                (keys.lease, keys.commits, keys.generation, keys.state(stream), keys.forgotten),
                (*known, *position, stream),
            )
            for stream, position in (self.positions or {DIRECTORY: ("", 0)}).items()
        ]


async def nobody_remembers() -> Memory:
    """In the place of edges, where there are none."""
    return Memory()


class Inquiries:
    """Asks and answers. ``clock`` is monotonic seconds."""

    def __init__(self, redis: Redis, keys: Keys, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = typed(redis)
        self._keys = keys
        self._clock = clock

    async def ask(self, mailbox: str, *, within_s: float = 3.0) -> tuple[list[Answer], int]:
        """Ask all edges about a mailbox; return their answers, and how many edges received the question.

        Raises:
            JournalAway, JournalRefused
        """
        return await self._asked({"mailbox": mailbox}, within_s)

    async def edges(self, *, within_s: float = 3.0) -> tuple[list[Answer], int]:
        """Ask all edges how they are; return their answers, and how many heard the question.

        An edge of an older release hears it and does not answer.

        Raises:
            JournalAway, JournalRefused
        """
        return await self._asked({"edge": True}, within_s)

    async def announce(self, digest: str, *, within_s: float = 3.0) -> tuple[list[Answer], int]:
        """Tell all edges whom to admit to the reserved stream for a minute: whoever shows what has this SHA-256.

        Returns the answers of those that will, and how many heard it. That this channel can be published on is what
        proves an operator: edges cannot, and no service.

        Raises:
            JournalAway, JournalRefused
        """
        return await self._asked({"canary": digest}, within_s)

    async def _asked(self, question: Mapping[str, Any], within_s: float) -> tuple[list[Answer], int]:
        id = secrets.token_hex(8)
        until = self._clock() + within_s
        heard = await self._put({"id": id, **question})
        while True:
            answers = await self._answers(id)
            if len(answers) >= heard or self._clock() >= until:
                return answers, heard
            await asyncio.sleep(_LOOK_S)

    async def recollect(self, *, within_s: float = 2.0) -> Memory:
        """Ask all edges what they received from the journal, and merge what they remember.

        Returns when every edge that received the question has answered. If none receives it, they may be about to dial
        again, so it is asked again until the time is over.

        Raises:
            JournalAway, JournalRefused
        """
        id = secrets.token_hex(8)
        until = self._clock() + within_s
        heard = 0
        while True:
            if not heard:
                heard = await self._put({"id": id, "recollect": True})
            answers = await self._answers(id)
            if (heard and len(answers) >= heard) or self._clock() >= until:
                return merged([memory_of(answer) for answer in answers])
            await asyncio.sleep(_LOOK_S)

    async def _put(self, question: Mapping[str, Any]) -> int:
        with translated():
            return await self._redis.publish(self._keys.inquiry_channel, to_json(question))

    async def _answers(self, id: str) -> list[Answer]:
        with translated():
            found = await self._redis.lrange(self._keys.testimony(id), 0, -1)
        answers: list[Answer] = []
        for text in found:
            with suppress(ValueError):
                answer = from_json(text)
                answers.append(answer if isinstance(answer, dict) else {})
        return answers

    async def answer(self, id: str, answer: Answer) -> None:
        """Answer a question with what this edge knows.

        Raises:
            JournalAway, JournalRefused
        """
        key = self._keys.testimony(id)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.rpush(key, to_json(answer))
        pipeline.ltrim(key, 0, _ANSWERS_MOST - 1)
        pipeline.expire(key, _ANSWERS_S)
        with translated():
            await pipeline.execute()


def read_question(payload: bytes) -> Question | None:
    """Read a question; ``None`` if it is not one: anybody with the right to publish could send anything."""
    try:
        found = from_json(payload)
        id = found["id"]
        if found.get("recollect") is True:
            question = Question(id, "memory")
        elif found.get("edge") is True:
            question = Question(id, "edge")
        elif "canary" in found:
            if not _DIGEST.fullmatch(found["canary"]):
                return None
            question = Question(id, "canary", digest=found["canary"])
        else:
            question = Question(id, "mailbox", normalise_address(found["mailbox"]) or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    is_one = isinstance(id, str) and _ID.fullmatch(id) and (question.mailbox or question.about != "mailbox")
    return question if is_one else None


def memory_as_answer(memory: Memory) -> Answer:
    """A memory in the form in which it is sent."""
    positions = {stream: [epoch, seq] for stream, (epoch, seq) in memory.positions.items()}
    return {"generation": memory.generation, "commits": memory.commits, "positions": positions}


def memory_of(answer: Answer) -> Memory:
    """Read a memory from an answer; one that cannot be read is empty."""
    try:
        generation, commits = _count(answer["generation"]), _count(answer["commits"])
        positions = {
            stream: (epoch, _count(seq))
            for stream, (epoch, seq) in answer["positions"].items()
            if isinstance(epoch, str) and _EPOCH.fullmatch(epoch)
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return Memory()
    return Memory(generation, commits, positions) if generation < _GENERATION_MOST else Memory()


def merged(memories: Sequence[Memory]) -> Memory:
    """Merge memories: everything that is known about the greatest generation."""
    generation = max((memory.generation for memory in memories), default=0)
    newest = [memory for memory in memories if memory.generation == generation]
    positions: dict[str, tuple[str, int]] = {}
    for memory in newest:
        for stream, (epoch, seq) in memory.positions.items():
            known = positions.get(stream, (epoch, seq))
            positions[stream] = (epoch, max(seq, known[1])) if known[0] == epoch else known
    return Memory(generation, max((memory.commits for memory in newest), default=0), positions)


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _COUNT_MOST:
        raise ValueError(value)
    return value


def by_edge(answers: Sequence[Answer]) -> list[Answer]:
    """The answers, sorted by the edges' names."""
    return sorted(answers, key=lambda answer: str(answer.get("edge", "")))
