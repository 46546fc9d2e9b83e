"""Whose namespace this is: ``{ns}:corporation``, written by the first worker that claims it.

Two corporations in one namespace would share one directory, one stream and one token. So a worker of another
corporation is refused until an operator gives it the namespace.
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
    """The namespace belongs to another corporation; the message is one line for an operator."""

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"the namespace {namespace!r} belongs to another corporation (another client id or API): set "
            "BRIDGE_NAMESPACE, or, where the corporation has only got a new client id, run `exmail-bridge adopt`"
        )


class StillLed(Exception):
    """A worker leads, so the namespace cannot be given to another corporation."""


def mark_of(api: str, id: str) -> str:
    """The stored mark of a corporation: the name of the provider's API, and a hash of the corporation's id there."""
    return f"{api}:{hashlib.sha256(id.encode()).hexdigest()[:_DIGITS]}"


class Corporation:
    """Reads which corporation the namespace belongs to, and changes it."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._script = Script(redis)
        self._keys = keys

    async def check(self, mark: str) -> None:
        """Make sure that the namespace belongs to ``mark`` or to nobody yet.

        Raises:
            NotOurs, JournalAway, JournalRefused
        """
        with translated():
            stored = await self._redis.get(self._keys.corporation)
        if stored is not None and stored.decode(errors="replace") != mark:
            raise NotOurs(self._keys.namespace)

    async def adopt(self, mark: str) -> bool:
        """Give the namespace to ``mark``; return whether it was another corporation's.

        Positions and the mirror stay. The provider's token is deleted. If the API is another one, so is the cursor, and
        the mirror is then compared with a complete listing.

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
