"""What listen tests share: bytes in every framing, and a reader that a test can wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from bridge.provider.bizmail.listen import ListenSession
from bridge.provider.faults import ProviderError
from bridge.provider.pushes import Push, UnreadChanged

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
    """Reads a session in a task and keeps what it gave, so that tests can wait for what they expect."""

    def __init__(self, session: ListenSession) -> None:
        self.session = session
        self.pushes: list[Push] = []
        self.batches = 0
        self.error: ProviderError | None = None
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        try:
            async for batch in self.session:
                assert batch
                async with self._changed:
                    self.pushes += batch
                    self.batches += 1
                    self._changed.notify_all()
        except ProviderError as error:
            async with self._changed:
                self.error = error
                self._changed.notify_all()

    async def gave(self, *expected: Push) -> None:
        """Wait until exactly this much has come, and take it away."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.pushes) >= len(expected) or self.error is not None)
        assert self.pushes == list(expected)
        self.pushes.clear()

    async def ended(self, kind: type[ProviderError]) -> ProviderError:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.error is not None)
        assert type(self.error) is kind, self.error
        assert self.error is not None
        return self.error


Listen = Callable[..., AbstractAsyncContextManager[Listening]]
