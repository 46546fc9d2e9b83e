"""Run ``journal.lua``: many calls, one round trip.

Always EVALSHA, order kept. redis-py's own ``Script`` asks SCRIPT EXISTS at every execute; here NOSCRIPT is answered
once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import hiredis
from redis.asyncio import Redis

from bridge.journal.errors import JournalRefused, refusal
from bridge.journal.pipe import Pipe
from bridge.journal.raw import pack

SOURCE = files("bridge.journal").joinpath("journal.lua").read_bytes()
_SHA = hashlib.sha1(SOURCE, usedforsecurity=False).hexdigest()

Argument = str | bytes | int
Call = tuple[Sequence[str], Sequence[Argument]]


class Script:
    """``journal.lua`` on one server. A call is ``(keys, arguments)``; the verb is the first argument."""

    def __init__(self, redis: Redis) -> None:
        self._pipe = Pipe(redis)

    async def run(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Run the calls in order, in one round trip; return their answers.

        Raises:
            JournalAway: no answer; some, all or none of the calls may have been applied.
            JournalRefused: the server answered one of them with an error (no rights, an old version).
        """
        packed = b"".join([pack("EVALSHA", _SHA, len(keys), *keys, *arguments) for keys, arguments in calls])
        answers = await self._pipe.ask(packed, len(calls))
        if any(isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT") for answer in answers):
            # A server that was restarted has forgotten the script. Calls before the flush are numbered or
            # harmless to repeat, so all are sent again.
            _, *answers = await self._pipe.ask(pack("SCRIPT", "LOAD", SOURCE) + packed, len(calls) + 1)
        for answer in answers:
            if isinstance(answer, hiredis.ReplyError):
                raise refusal(str(answer))
            if not isinstance(answer, list):
                raise JournalRefused(f"unexpected answer of the script: {type(answer).__name__}")
        return answers
