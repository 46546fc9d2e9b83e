"""Departments as a run reads and writes them: those that rows name and that are not there, all, and each step.

What is written to departments shows after about a second (provider-in-practice 4), so whoever is to be put into a new
one waits until it is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from bridge.commands.api.attempt import failure, stopping
from bridge.commands.api.departments import Department, Kind
from bridge.commands.api.pause import DOUBTS_MOST, GaveUp, Pause, is_doubtful, is_later
from bridge.commands.api.report import Result
from bridge.commands.api.wanted import Wanted
from bridge.provider.bizmail.endpoints import PARTY_ADD, PARTY_DELETE, PARTY_MOVE, Endpoint
from bridge.provider.bizmail.rules import MOST_LEVELS
from bridge.provider.faults import CallerFault, OutcomeUnknown, ProviderAway, ProviderError

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient

Write = Callable[[], Awaitable[None]]
Look = Callable[[], Awaitable[bool]]

_LOOKS: Final = 10
_BETWEEN_S: Final = 0.5


class Parties:
    """Departments as a run sees them: what is below a path is asked for once."""

    def __init__(self, client: ProviderClient, pause: Pause) -> None:
        self._client = client
        self._pause = pause
        self._below: dict[str, frozenset[str]] = {}

    async def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of the paths that are not there, each once.

        Raises:
            GaveUp
            ProviderError: departments cannot be listed.
        """
        return [path for path in dict.fromkeys(paths) if not await self._is_there(path)]

    async def _is_there(self, path: str) -> bool:
        levels = path.split("/")
        for depth, level in enumerate(levels):
            if level not in await self._children("/".join(levels[:depth])):
                return False
        return True

    async def _children(self, path: str) -> frozenset[str]:
        if path not in self._below:
            try:
                self._below[path] = frozenset(await self._pause.ask(lambda: self._client.party_list(path)))
            except CallerFault:
                # It went away between two questions.
                self._below[path] = frozenset()
        return self._below[path]

    async def everything(self) -> frozenset[str]:
        """The paths of all departments. Below the most levels that there can be nothing is asked for.

        Raises:
            GaveUp
            ProviderError: departments cannot be listed.
        """
        found: list[str] = []
        waiting = [""]
        while waiting:
            path = waiting.pop()
            below = [f"{path}/{name}" if path else name for name in await self._children(path)]
            found += below
            waiting += [child for child in below if child.count("/") + 1 < MOST_LEVELS]
        return frozenset(found)

    async def add(self, path: str) -> Result:
        """Add a department, and those above it; return what became of it, when it is shown."""
        return await self._carried(
            Result(None, path, "add"), PARTY_ADD, lambda: self._client.party_add(path), lambda: self._is_there(path)
        )

    async def carry_out(self, row: Department, kind: Kind) -> Result:
        """Do one step; return what became of it, when it is shown."""

        async def is_moved() -> bool:
            return await self._is_there(row.path) and not await self._is_there(row.source)

        async def is_gone() -> bool:
            return not await self._is_there(row.path)

        done, client = row.done(kind), self._client
        if kind == "add":
            return await self._carried(
                done, PARTY_ADD, lambda: client.party_add(row.path), lambda: self._is_there(row.path)
            )
        if kind == "move":
            return await self._carried(done, PARTY_MOVE, lambda: client.party_move(row.source, row.path), is_moved)
        if kind == "delete":
            return await self._carried(done, PARTY_DELETE, lambda: client.party_delete(row.path), is_gone)
        return done

    async def _carried(self, done: Result, endpoint: Endpoint, write: Write, is_done: Look) -> Result:
        row = Wanted(done.line, done.of, None)
        try:
            return await self._written(done, row, endpoint, write, is_done)
        except GaveUp as gave_up:
            return stopping(failure(row, gave_up.error, endpoint, gave_up=True))
        except ProviderError as error:
            return stopping(failure(row, error, endpoint))

    async def _written(self, done: Result, row: Wanted, endpoint: Endpoint, write: Write, is_done: Look) -> Result:
        perhaps_done, doubts = False, 0
        while True:
            began = await self._pause.turn()
            try:
                await write()
            except CallerFault as error:
                # What code says that it is so already is in no document.
                if await self._is_shown(is_done, looks=_LOOKS if perhaps_done else 1):
                    return done
                self._pause.settled()
                return failure(row, error, endpoint)
            except ProviderError as error:
                if not (is_later(error) or is_doubtful(error)):
                    raise
                perhaps_done |= isinstance(error, OutcomeUnknown) or (isinstance(error, ProviderAway) and error.sent)
                doubts += is_doubtful(error)
                self._pause.put_off(error, began=began)
                if await self._is_shown(is_done, looks=1):
                    return done
                if doubts >= DOUBTS_MOST:
                    self._pause.left_open(error)
                    return failure(row, error, endpoint)
            else:
                self._pause.settled()
                await self._is_shown(is_done, looks=_LOOKS)
                return done

    async def _is_shown(self, is_done: Look, *, looks: int) -> bool:
        """Whether the listing shows by now what was written."""
        for look in range(looks):
            if look:
                await asyncio.sleep(_BETWEEN_S)
            self._below.clear()
            if await is_done():
                return True
        return False
