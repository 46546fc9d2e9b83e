"""What listen tests share: bytes in every framing, and a reader that a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bridge.provider.bizmail.listen import ListenSession
from bridge.provider.faults import ProviderError
from bridge.provider.pushes import Push, UnreadChanged
from bridge.provider.source import Acknowledged, Alive, Batch, Skipped
from tests.support.waiting import PATIENCE_S

LONG_S = 60
RET = b'{"Ret":0}'


def count(n: int) -> bytes:
    return b'{"UserName":"a@x","NewCount":%d}' % n


def counts(*numbers: int) -> list[Push]:
    return [UnreadChanged("a@x", n) for n in numbers]


def framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def piece(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.0 200 OK\r\n\r\n"


class Listening:
    """Reads a session in a task and keeps what it gave, so that tests can wait for what they expect.

    ``on_online``, ``on_bytes`` and ``on_gap`` hear of what is no push.
    """

    def __init__(
        self,
        session: ListenSession,
        *,
        on_online: Callable[[], None] = lambda: None,
        on_bytes: Callable[[float | None], None] = lambda begun_at: None,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self._on_online = on_online
        self._on_bytes = on_bytes
        self._on_gap = on_gap
        self.pushes: list[Push] = []
        self.batches = 0
        self.error: ProviderError | None = None
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        try:
            while True:
                match await self.session.next():
                    case Batch(pushes=pushes, documents=documents):
                        assert pushes
                        assert len(pushes) == len(documents)
                        async with self._changed:
                            self.pushes += pushes
                            self.batches += 1
                            self._changed.notify_all()
                    case Acknowledged():
                        self._on_online()
                    case Alive(begun_at=begun_at):
                        self._on_bytes(begun_at)
                    case Skipped():
                        self._on_gap()
        except ProviderError as error:
            async with self._changed:
                self.error = error
                self._changed.notify_all()

    async def gave(self, *expected: Push) -> None:
        """Wait until exactly this much has come, and take it away."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(self.pushes) >= len(expected) or self.error is not None)
        assert self.pushes == list(expected)
        self.pushes.clear()

    async def ended(self, kind: type[ProviderError]) -> ProviderError:
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: self.error is not None)
        assert type(self.error) is kind, self.error
        assert self.error is not None
        return self.error


Listen = Callable[..., AbstractAsyncContextManager[Listening]]
