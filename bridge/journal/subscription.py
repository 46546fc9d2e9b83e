"""One pub/sub connection, read as raw bytes.

redis-py's own ``PubSub`` reads half as fast. After a cut it resubscribes silently, which hides a loss. Here a cut is an
event: ``lost`` resolves, and the owner makes a new subscription. So is the end of a subscription that nobody asked for:
a node that gives a slot away, also to the replica that is promoted in its place, ends those of its sharded channels and
goes on with the connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, refusal
from bridge.journal.raw import RawConnection, pack

_BATCH = 512
_MESSAGES = (b"message", b"smessage")
_CONFIRMED = (b"subscribe", b"ssubscribe")
_ENDED = (b"unsubscribe", b"sunsubscribe")


async def try_sharded(address: RedisAddress, channels: Sequence[str]) -> None:
    """Find out whether Redis lets us listen to these sharded channels, over a connection of its own.

    Raises:
        JournalAway, JournalRefused
    """
    subscription = Subscription(lambda messages: None)
    try:
        await subscription.connect(address)
        await subscription.subscribe(channels, sharded=True)
    finally:
        subscription.close()


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
        self._leaving: Counter[bytes] = Counter()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connect(self, address: RedisAddress, *, timeout_s: float = 5.0) -> None:
        """Dial.

        Raises:
            JournalAway, JournalRefused
        """
        await self.dial(address.connection(timeout_s=timeout_s))

    async def subscribe(self, channels: Sequence[str], *, sharded: bool = False) -> None:
        """Subscribe to more channels; returns when Redis has confirmed all of them.

        Raises:
            JournalAway: the connection was lost, or is cut because Redis did not confirm in time.
            JournalMoved: another node serves these channels, which are ``sharded``.
            JournalRefused
        """
        confirmed = []
        for start in range(0, len(channels), _BATCH):
            batch = channels[start : start + _BATCH]
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((len(batch), future))
            confirmed.append(future)
            self._send("SSUBSCRIBE" if sharded else "SUBSCRIBE", *batch)
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
        finally:
            for future in confirmed:
                # One fault is raised for all of them; asyncio would log each of the others.
                if not future.cancel() and not future.cancelled():
                    future.exception()

    def unsubscribe(self, channels: Sequence[str], *, sharded: bool = False) -> None:
        """Unsubscribe; the confirmation is not awaited."""
        for start in range(0, len(channels), _BATCH):
            batch = channels[start : start + _BATCH]
            self._send("SUNSUBSCRIBE" if sharded else "UNSUBSCRIBE", *batch)
            self._leaving.update(channel.encode() for channel in batch)

    def leave_because(self, why: str) -> None:
        """Let the connection end; ``why`` is what ``lost`` resolves to."""
        if not self.lost.done():
            self.lost.set_result(why)
        self.close()

    def _send(self, command: str, *channels: str) -> None:
        if not self.open:
            raise JournalAway("pub/sub connection lost")
        self.send(pack(command, *channels))

    def took(self, replies: list[Any]) -> None:
        messages: list[tuple[bytes, bytes]] = []
        for reply in replies:
            if isinstance(reply, list):
                if reply[0] in _MESSAGES:
                    messages.append((reply[1], reply[2]))
                elif reply[0] in _CONFIRMED:
                    self._confirm()
                elif reply[0] in _ENDED:
                    self._unsubscribed(reply[1])
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

    def _unsubscribed(self, channel: bytes) -> None:
        if self._leaving[channel] > 1:
            self._leaving[channel] -= 1
        elif self._leaving.pop(channel, 0) < 1:
            self.leave_because("Redis has ended a subscription; another node serves the channel now")

    def _refused(self, why: str) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(refusal(why))
        self._waiting.clear()
        self.close()

    def ended(self, why: str) -> None:
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(JournalAway(f"pub/sub connection lost: {why}"))
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(why)
