"""Whose namespace this is: ``{ns}:corporation``, written by the first worker that claims it.

Two corporations in one namespace would be one directory, one stream and one token. So a worker of another one is
refused, and what it needs to begin anew is an operator's decision.
"""

from __future__ import annotations

import hashlib
from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import typed
from bridge.journal.errors import JournalRefused, translated
from bridge.journal.keys import Keys
from bridge.journal.script import Script

_DIGITS: Final = 32


class NotOurs(JournalRefused):
    """The namespace belongs to another corporation; the text is one line for an operator."""

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"the namespace {namespace!r} belongs to another corporation (another client id or API): set "
            "BRIDGE_NAMESPACE, or, where the corporation has only got a new client id, run `exmail-bridge adopt`"
        )


class StillLed(Exception):
    """A worker leads; its namespace is not given away."""


def mark_of(api: str, id: str) -> str:
    """What stands for a corporation: the provider's API by name, and a hash of its id there."""
    return f"{api}:{hashlib.sha256(id.encode()).hexdigest()[:_DIGITS]}"


class Corporation:
    """Reads whose the namespace is, and gives it to another one."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._script = Script(redis)
        self._keys = keys

    async def check(self, mark: str) -> None:
        """Make sure that the namespace is ours, or nobody's yet.

        Raises:
            NotOurs, JournalAway, JournalRefused
        """
        with translated():
            stored = await self._redis.get(self._keys.corporation)
        if stored is not None and stored.decode(errors="replace") != mark:
            raise NotOurs(self._keys.namespace)

    async def adopt(self, mark: str) -> bool:
        """Give the namespace to ``mark``; return whether it was another's.

        Positions and the mirror stay. The provider's token goes, and where the API is another one the cursor too: the
        mirror is then compared with a whole listing.

        Raises:
            StillLed: a worker leads.
            JournalAway, JournalRefused
        """
        keys = self._keys
        [answer] = await self._script.run(
            [((keys.lease, keys.corporation, keys.token, keys.ver), ("adopt", mark, mark.partition(":")[0] + ":"))]
        )
        if answer[0] == 0:
            raise StillLed
        return bool(answer[1])
