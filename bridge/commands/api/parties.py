"""The departments that rows name: which of them are not there, and adding those.

What is written to departments shows after about a second (provider-in-practice 4), so whoever is to be put into a new
one waits until it is listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from bridge.commands.api.attempt import failure, stopping
from bridge.commands.api.pause import DOUBTS_MOST, GaveUp, Pause, is_doubtful, is_later
from bridge.commands.api.report import Result
from bridge.commands.api.wanted import Wanted
from bridge.provider.bizmail.endpoints import PARTY_ADD
from bridge.provider.faults import CallerFault, OutcomeUnknown, ProviderAway, ProviderError

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient

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

    async def add(self, path: str) -> Result:
        """Add a department, and those above it; return what became of it, when it is shown."""
        try:
            return await self._added(path)
        except GaveUp as gave_up:
            return stopping(failure(Wanted(None, path, None), gave_up.error, PARTY_ADD, gave_up=True))
        except ProviderError as error:
            return stopping(failure(Wanted(None, path, None), error, PARTY_ADD))

    async def _added(self, path: str) -> Result:
        done = Result(None, path, "add")
        perhaps_done, doubts = False, 0
        while True:
            began = await self._pause.turn()
            try:
                await self._client.party_add(path)
            except CallerFault as error:
                # What code says that it exists is in no document.
                if await self._is_shown(path, looks=_LOOKS if perhaps_done else 1):
                    return done
                self._pause.settled()
                return failure(Wanted(None, path, None), error, PARTY_ADD)
            except ProviderError as error:
                if not (is_later(error) or is_doubtful(error)):
                    raise
                perhaps_done |= isinstance(error, OutcomeUnknown) or (isinstance(error, ProviderAway) and error.sent)
                doubts += is_doubtful(error)
                self._pause.put_off(error, began=began)
                if await self._is_shown(path, looks=1):
                    return done
                if doubts >= DOUBTS_MOST:
                    self._pause.left_open(error)
                    return failure(Wanted(None, path, None), error, PARTY_ADD)
            else:
                self._pause.settled()
                await self._is_shown(path, looks=_LOOKS)
                return done

    async def _is_shown(self, path: str, *, looks: int) -> bool:
        """Whether a department is listed by now."""
        for look in range(looks):
            if look:
                await asyncio.sleep(_BETWEEN_S)
            self._below.clear()
            if await self._is_there(path):
                return True
        return False
