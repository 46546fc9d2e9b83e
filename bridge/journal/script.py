"""Run ``journal.lua``: many calls, one round trip.

A pipeline of EVALSHA calls, order kept. redis-py's own ``Script`` asks SCRIPT EXISTS at every execute, and its
cluster pipelines refuse EVALSHA; so the calls are sent here, and NOSCRIPT is answered once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from bridge.journal.errors import JournalRefused, translated

SOURCE = files("bridge.journal").joinpath("journal.lua").read_bytes()
_SHA = hashlib.sha1(SOURCE, usedforsecurity=False).hexdigest()

Argument = str | bytes | int


class Script:
    """``journal.lua`` on one server. A call is ``(keys, arguments)``; the verb is the first argument."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def run(self, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[list[Any]]:
        """Run the calls in order, in one round trip; return their answers.

        Raises:
            JournalAway: no answer; some, all or none of the calls may have been applied.
            JournalRefused: the server answered one of them with an error (out of memory, read only, no rights).
        """
        with translated():
            answers = await self._send(calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # A server that was restarted has forgotten the script. Calls before the flush are numbered or
                # harmless to repeat, so all are sent again.
                await self._redis.script_load(SOURCE)
                answers = await self._send(calls)
        for answer in answers:
            if isinstance(answer, RedisError):
                with translated():
                    raise answer
            if not isinstance(answer, list):
                raise JournalRefused(f"unexpected answer of the script: {type(answer).__name__}")
        return answers

    async def _send(self, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for keys, arguments in calls:
            pipeline.execute_command("EVALSHA", _SHA, len(keys), *keys, *arguments)
        return await pipeline.execute(raise_on_error=False)
