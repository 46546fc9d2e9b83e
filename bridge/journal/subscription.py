"""One pub/sub connection, read as raw bytes.

redis-py's own ``PubSub`` reads half as fast. After a cut it resubscribes silently, which hides a loss. Here a cut is an
event: ``lost`` resolves, and the owner makes a new subscription.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, JournalRefused
from bridge.journal.raw import RawConnection, pack

_BATCH = 512


class Subscription(RawConnection):
    """Channels that are subscribed to, over one connection that is not reused after a fault.

    ``on_messages`` gets what one read of the socket brought: ``(channel, payload)`` pairs, in order. A SUBSCRIBE that
    is not confirmed within ``patience_s`` is a fault, because the connection may be open and deaf.
    """

    def __init__(self, on_messages: Callable[[list[tuple[bytes, bytes]]], None], *, patience_s: float = 10.0) -> None:
        super().__init__()
        self._patience_s = patience_s
        self._on_messages = on_messages
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connect(self, address: RedisAddress, *, timeout_s: float = 5.0) -> None:
        """Dial.

        Raises:
            JournalAway, JournalRefused
        """
        await self.dial(address.connection(timeout_s=timeout_s))

    async def subscribe(self, channels: Sequence[str]) -> None:
        """Subscribe to more channels; returns when Redis has confirmed all of them.

        Raises:
            JournalAway: the connection was lost, or is cut because Redis did not confirm in time.
            JournalRefused
        """
        confirmed = []
        for start in range(0, len(channels), _BATCH):
            batch = channels[start : start + _BATCH]
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((len(batch), future))
            confirmed.append(future)
            self._send("SUBSCRIBE", *batch)
        try:
            async with asyncio.timeout(self._patience_s):
                for future in confirmed:
                    await future
        except TimeoutError:
            # What stood still while the answer lay there is this process.
            if all(future.done() and not (future.cancelled() or future.exception()) for future in confirmed):
                return
            self.close()
            raise JournalAway(f"Redis confirmed no SUBSCRIBE within {self._patience_s:g} s") from None

    def unsubscribe(self, channels: Sequence[str]) -> None:
        """Unsubscribe; the confirmation is not awaited."""
        for start in range(0, len(channels), _BATCH):
            self._send("UNSUBSCRIBE", *channels[start : start + _BATCH])

    def _send(self, command: str, *channels: str) -> None:
        if not self.open:
            raise JournalAway("pub/sub connection lost")
        self.send(pack(command, *channels))

    def took(self, replies: list[Any]) -> None:
        messages: list[tuple[bytes, bytes]] = []
        for reply in replies:
            if isinstance(reply, list):
                if reply[0] == b"message":
                    messages.append((reply[1], reply[2]))
                elif reply[0] == b"subscribe":
                    self._confirm()
            elif isinstance(reply, Exception):
                self._refused(str(reply))
        if messages:
            self._on_messages(messages)

    def _confirm(self) -> None:
        if not self._waiting:
            return
        left, future = self._waiting[0]
        if left > 1:
            self._waiting[0] = (left - 1, future)
            return
        self._waiting.popleft()
        if not future.done():
            future.set_result(None)

    def _refused(self, why: str) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(JournalRefused(why))
        self._waiting.clear()
        self.close()

    def ended(self, why: str) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(JournalAway(f"pub/sub connection lost: {why}"))
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(why)
