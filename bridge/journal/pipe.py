"""Pipelines of many callers over one connection, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from redis.asyncio import Redis

from bridge.journal.causes import causes
from bridge.journal.errors import JournalAway, JournalUnreached, NotAdmitted, translated
from bridge.journal.raw import RawConnection

_LAST_ANSWERS_S: Final = 1.0
_TIMEOUT_S: Final = 5.0


class _Wire(RawConnection):
    """One connection; each reply goes to the question that has waited longest."""

    def __init__(self) -> None:
        super().__init__()
        self._ending: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[int, list[Any], asyncio.Future[list[Any]]]] = deque()

    def ask(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, [], future))
        self.send(packed)
        return future

    def took(self, replies: list[Any]) -> None:
        at = 0
        while at < len(replies) and self._waiting:
            count, got, future = self._waiting[0]
            piece = replies[at : at + count - len(got)]
            got += piece
            at += len(piece)
            if len(got) == count:
                self._waiting.popleft()
                if not future.done():
                    future.set_result(got)
        if self._ending is not None and not self._waiting:
            self.close()

    def leave(self) -> None:
        """Cut the connection when everything is answered that was asked, after a second at the latest.

        An answer that is cut off leaves open whether a call was applied, which may cost a generation.
        """
        if not self._waiting:
            self.close()
        elif self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(_LAST_ANSWERS_S, self.close)

    def ended(self, why: str) -> None:
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(JournalAway(f"connection to Redis lost: {why}"))
        self._waiting.clear()
        if self._ending is not None:
            self._ending.cancel()


def is_vacant(error: BaseException, peer: Any) -> bool:
    """Whether the reason is that nobody listens at ``peer``, the address of the last connection (a path: of a socket).

    Of several addresses only one may have been refused, or another than that of before: then it is not known.
    """
    why = next((each for each in causes(error) if isinstance(each, OSError)), None)
    if isinstance(peer, tuple):
        # Only the text has the address.
        return isinstance(why, ConnectionRefusedError) and str(why).endswith(f"Connect call failed {peer}")
    return isinstance(why, ConnectionRefusedError | FileNotFoundError)


class Pipe:
    """Asks Redis over one connection of ``redis``'s pool, which is dialled when needed and again when it is lost.

    An answer is waited for as long as ``redis`` waits for its own.
    """

    def __init__(self, redis: Redis) -> None:
        # redis-py's type of the pool lacks what the subclass in use can do.
        self._pool: Any = redis.connection_pool
        self._timeout_s: float = self._pool.connection_kwargs.get("socket_timeout") or _TIMEOUT_S
        self._connection: Any = None
        self._wire: _Wire | None = None
        self._peer: Any = None
        self._dialling = asyncio.Lock()

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send ``count`` packed commands in one write; return their replies, errors of the server among them.

        Raises:
            JournalUnreached: nothing was sent.
            JournalAway: no answer; some, all or none of the commands may have been applied.
            NotAdmitted: the server does not admit us; nothing was sent.
        """
        wire = self._wire
        if wire is None or not wire.open:
            try:
                wire = await self._dial()
            except NotAdmitted:
                raise
            except JournalAway as error:
                unreached = JournalUnreached(str(error))
                unreached.vacant = self._peer is not None and is_vacant(error, self._peer)
                raise unreached from error
        try:
            async with asyncio.timeout(self._timeout_s):
                return await wire.ask(packed, count)
        except TimeoutError as error:
            # A late answer would be taken for the answer to the next question.
            wire.close()
            raise JournalAway(f"Redis did not answer within {self._timeout_s:.0f} s") from error

    def leave(self) -> None:
        """Cut the connection, because its server is the wrong one now; the next question dials again."""
        if self._wire is not None:
            self._wire.close()

    async def _dial(self) -> _Wire:
        async with self._dialling:
            if self._wire is not None and self._wire.open:
                return self._wire
            with translated():
                if self._connection is None:
                    self._connection = await self._pool.get_connection()
                # The pool's connection may be an old one; our protocol gets one that was just dialled.
                await self._connection.disconnect(nowait=True)
            wire = _Wire()
            await wire.dial(self._connection)
            self._wire, self._peer = wire, wire.peer
            return wire
