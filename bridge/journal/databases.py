"""Find another bridge with the same namespace in another database of the same server.

Channels are not separated by database. Each bridge would receive the events of both and take the other's for gaps, and
so would services that subscribe.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis

from bridge.journal.client import typed
from bridge.journal.errors import NotLetIn, translated
from bridge.journal.keys import Keys

_PATIENCE_S: Final = 5.0


class Databases:
    """Looks for other leaders of one namespace."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._lease = keys.lease

    async def led_elsewhere(self) -> list[int]:
        """The numbers of the other databases in which a worker leads now; empty if we have no right to look.

        Raises:
            JournalAway, JournalRefused
        """
        with suppress(NotLetIn), translated():
            async with asyncio.timeout(_PATIENCE_S):
                used = await self._redis.info("keyspace")
                ours = int(self._redis.connection_pool.connection_kwargs.get("db") or 0)
                numbers = {name.removeprefix("db") for name in used if name.startswith("db")}
                # A server may tell more there than Redis does.
                others = sorted({int(number) for number in numbers if number.isdecimal()} - {ours})
                return await self._led(others) if others else []
        return []

    async def _led(self, numbers: list[int]) -> list[int]:
        # A connection of its own, because SELECT would change the database for its next user.
        connection = self._redis.connection_pool.make_connection()
        try:
            await connection.connect()
            led = []
            for number in numbers:
                await connection.send_command("SELECT", number)
                await connection.read_response()
                await connection.send_command("EXISTS", self._lease)
                if await connection.read_response():
                    led.append(number)
            return led
        finally:
            await connection.disconnect()
