"""Run the journal's script: many calls in one round trip, in order.

Always by EVALSHA: redis-py's own ``Script`` would ask SCRIPT EXISTS each time. If the server does not know the script
it is loaded, and if the server says that another one has the data, that one is asked; each is done once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

import hiredis
from redis.asyncio import Redis

from bridge.journal.errors import (
    JournalAway,
    JournalMoved,
    JournalRefused,
    JournalSpoilt,
    OtherType,
    TakesNoWrites,
    refusal,
)
from bridge.journal.pipe import Pipe
from bridge.journal.raw import pack

SOURCE = b"\n".join(
    files("bridge.journal").joinpath("lua", f"{part}.lua").read_bytes()
    for part in ("lease", "reading", "writing", "counts")
)
_SHA = hashlib.sha1(SOURCE, usedforsecurity=False).hexdigest()

Argument = str | bytes | int
ScriptCall = tuple[Sequence[str], Sequence[Argument]]
Failed = JournalSpoilt | TakesNoWrites
"""The fault of one call of a batch whose other calls are answered."""


class Runs(Protocol):
    """Runs calls of the script, as :meth:`Script.run` does."""

    async def run(self, calls: Sequence[ScriptCall], /) -> list[list[Any]]: ...


class Script:
    """The script on one server. A call is ``(keys, arguments)``; the verb is the first argument."""

    def __init__(self, redis: Redis) -> None:
        self._pipe = Pipe(redis)

    async def run(self, calls: Sequence[ScriptCall]) -> list[list[Any]]:
        """Run the calls in order, in one round trip; return their answers.

        Raises:
            JournalUnreached: nothing was sent.
            JournalAway: no answer; some, all or none of the calls may have been applied.
            JournalRefused: the server answered one of them with an error (no rights, an old version).
        """
        answers: list[list[Any]] = []
        for answer in await self._run(calls, each=False):
            if not isinstance(answer, list):
                raise answer
            answers.append(answer)
        return answers

    async def run_each(self, calls: Sequence[ScriptCall]) -> list[list[Any] | Failed]:
        """As :meth:`run`, for calls that are independent of each other.

        An odd value, or a write that the server does not accept now, fails its own call only.

        Raises:
            JournalUnreached, JournalAway
            NotLetIn: no rights.
        """
        return await self._run(calls, each=True)

    async def ask(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        """Plain commands that only read, in one round trip; return their replies. A key of another type is a reply, an
        error.

        Raises:
            JournalAway, JournalRefused
        """
        answers = await self._pipe.ask(b"".join([pack(*command) for command in commands]), len(commands))
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError) and not str(answer).startswith("WRONGTYPE"):
                fault = refusal(str(answer))
                if isinstance(fault, JournalMoved):
                    self._pipe.leave()
                raise fault
        return answers

    async def _run(self, calls: Sequence[ScriptCall], *, each: bool) -> list[list[Any] | Failed]:
        if not calls:
            return []
        packed = b"".join([pack("EVALSHA", _SHA, len(keys), *keys, *arguments) for keys, arguments in calls])
        load = b""
        left = False
        while True:
            answers = await self._pipe.ask(load + packed, len(calls) + bool(load))
            if load:
                del answers[0]
            if each:
                answers = [_failed(answer) for answer in answers]
            errors = [number for number, answer in enumerate(answers) if isinstance(answer, hiredis.ReplyError)]
            if not errors:
                break
            first, refused = errors[0], str(answers[errors[0]])
            # The calls before the error are numbered or harmless to repeat, so all are sent again.
            if refused.startswith("NOSCRIPT") and not load:
                # A restarted server has forgotten the script; a promoted one never had it.
                load = pack("SCRIPT", "LOAD", SOURCE)
                continue
            fault = refusal(refused)
            if isinstance(fault, JournalAway):
                # Calls are numbered, so none after the first refused one was applied.
                fault.applied = first
            if not isinstance(fault, JournalMoved):
                raise fault
            self._pipe.leave()
            # The next server may lack what this one has applied; the caller must find that out.
            if left or first:
                raise fault
            left = True
        for answer in answers:
            if not isinstance(answer, list | Failed):
                raise JournalRefused(f"unexpected answer of the script: {type(answer).__name__}")
        return answers


def _failed(answer: Any) -> Any:
    """An error of one call that says nothing about us, or about what the others ask, is that call's alone."""
    if isinstance(answer, hiredis.ReplyError) and not str(answer).startswith("NOSCRIPT"):
        fault = refusal(str(answer))
        if isinstance(fault, TakesNoWrites):
            return fault
        if type(fault) in (JournalRefused, OtherType):
            return JournalSpoilt(f"what is stored there cannot be read: {str(answer)[:200]}")
    return answer
