"""A mail that was pushed before its address changed hands is its former holder's, also where it is read later.

Pushes come in order on one connection, member changes are asked for on others. So an answer may outrun a mail that was
pushed before the change. The provider pushes a cursor after each change: once the connection has brought that of the
answer, all that was pushed before has come too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

_PATIENCE_S: Final = 5.0


class Precedence:
    """Says when everything that was pushed before the last answer is committed.

    ``caught_up`` returns when all that was read is committed. A connection that does not bring the answer's cursor is
    waited for ``patience_s`` seconds: the push of it may be lost, and whoever leaves must not stay for that.
    """

    def __init__(self, caught_up: Callable[[], Awaitable[None]], *, patience_s: float = _PATIENCE_S) -> None:
        self._caught_up = caught_up
        self._patience_s = patience_s
        self._answered = 0
        self._pushed = 0
        self._came = asyncio.Event()

    def answered(self, ver: int) -> None:
        """An answer stands for this cursor."""
        self._answered = max(self._answered, ver)

    def pushed(self, ver: int) -> None:
        """The connection has brought this cursor."""
        self._pushed = max(self._pushed, ver)
        self._came.set()

    def began(self) -> None:
        """A connection stands anew: nothing that was pushed on another one comes any more."""
        self.pushed(self._answered)

    async def settled(self) -> None:
        """Wait until what was pushed before the last answer is committed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while self._pushed < self._answered:
                    self._came.clear()
                    await self._came.wait()
        # Once for each answer: it may change thousands of addresses.
        self._pushed = max(self._pushed, self._answered)
        await self._caught_up()
