"""Begin a mailbox's key anew that somebody else has made one of another type.

No commit looks for that, which would cost each mail something: the script fails at the first read of such a key, before
it writes, and the calls are numbered, so they can be sent again. Keys that concern everybody are not touched: a leader
ends and names them (``layout.py``), because what is lost with them an operator has to know.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from bridge.journal.errors import OtherType
from bridge.journal.keys import Keys
from bridge.journal.script import Runs, ScriptCall

log = logging.getLogger(__name__)


class OwnTypes:
    """Stands between a writer and its ``script``."""

    def __init__(self, script: Runs, keys: Keys) -> None:
        self._script = script
        self._lease = keys.lease
        # Of all streams: what stands before the name.
        self._prefixes = {keys.state(""): "hash", keys.log(""): "stream", keys.seen(""): "zset"}
        self._names = {keys.wanted: "set", keys.forgotten: "zset"}

    async def run(self, calls: Sequence[ScriptCall]) -> list[list[Any]]:
        """As :meth:`Script.run`, with the same errors."""
        try:
            return await self._script.run(calls)
        except OtherType:
            if not await self._began_anew(calls):
                raise
        return await self._script.run(calls)

    async def _began_anew(self, calls: Sequence[ScriptCall]) -> bool:
        """Delete those of the keys of these calls that are of another type than ours; whether there was one."""
        kinds = {key: kind for keys, _ in calls for key in keys if (kind := self._kind(key))}
        lease = next((arguments[1] for keys, arguments in calls if keys[0] == self._lease), None)
        if lease is None or not kinds:
            return False
        answers = await self._script.run([((self._lease, key), ("retype", lease, kind)) for key, kind in kinds.items()])
        # Who has no lease any more is told so by the calls themselves.
        again = any(answer[0] == 0 for answer in answers)
        for key, (_, *was) in zip(kinds, answers, strict=True):
            if was and not again:
                log.warning(
                    "a key was of another type and begins anew: something else writes into this namespace",
                    extra={"key": key, "was": was[0].decode()},
                )
        return again or any(len(answer) > 1 for answer in answers)

    def _kind(self, key: str) -> str | None:
        named = self._names.get(key)
        return named or next((kind for prefix, kind in self._prefixes.items() if key.startswith(prefix)), None)
