"""When what is owed is asked for again, and what the answers come to.

A second look is never taken at once: pushes outrun the provider's data. Each account that goes on to be owed is asked
about ever more seldom; and where all are refused alike, nobody is asked for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from bridge.journal.owed import DELETED, MISSING, Owed
from bridge.provider.faults import ProviderError
from bridge.provider.members import Members as Asked
from bridge.worker.members import Members, Step
from bridge.worker.profiles import Fetch

log = logging.getLogger(__name__)

_AT_A_TIME: Final = 100
_LATEST_S: Final = 3600.0
_REST_S: Final = (5.0, 60.0)
_NEVER_THERE_MS: Final = 86_400_000


class Timetable:
    """When each account is due. In memory: whoever leads next asks soon. ``now`` gives seconds."""

    def __init__(self, *, second_look_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._second_look_s = second_look_s
        self._now = now
        self._due: dict[str, tuple[int, float, float]] = {}
        self._rests = 0
        self._rest_until = 0.0

    def follow(self, owed: Mapping[str, Owed]) -> None:
        """Take over what is owed now; who is owed since another moment begins anew."""
        now = self._now()
        for alias in self._due.keys() - owed.keys():
            del self._due[alias]
        for alias, each in owed.items():
            if self._due.get(alias, (None,))[0] != each.since:
                self._due[alias] = (each.since, now + self._second_look_s, self._second_look_s)

    def due(self) -> list[str]:
        """Who is to be asked about now, the longest due first; a bounded number."""
        now = self._now()
        if now < self._rest_until:
            return []
        found = sorted((at, alias) for alias, (_, at, _) in self._due.items() if at <= now)
        return [alias for _, alias in found[:_AT_A_TIME]]

    def next_s(self) -> float | None:
        """Seconds until somebody is due; ``None``: nothing is owed."""
        if not self._due:
            return None
        return max(0.0, max(self._rest_until, min(at for _, at, _ in self._due.values())) - self._now())

    def in_vain(self, aliases: Collection[str]) -> None:
        """They were asked about, and it came to nothing."""
        for alias in aliases:
            if alias in self._due:
                since, _, wait_s = self._due[alias]
                longer_s = min(max(wait_s, 1.0) * 2, _LATEST_S)
                self._due[alias] = (since, self._now() + longer_s, longer_s)

    def rest(self) -> None:
        """The provider refuses all alike: ask nobody for a while, longer each time."""
        self._rest_until = self._now() + min(_REST_S[0] * 2**self._rests, _REST_S[1])
        self._rests = min(self._rests + 1, 10)

    def rested(self) -> None:
        """It answers."""
        self._rests = 0


class Debts:
    """Settles what is owed, a bounded number at a time.

    ``named`` says whom lines name that are not applied yet, ``None`` where that cannot be said: whoever was said to be
    deleted, and has a profile, may be another person whom such a line adds.
    """

    def __init__(
        self,
        asked: Asked,
        members: Members,
        fields: Collection[str],
        timetable: Timetable,
        *,
        named: Callable[[], Awaitable[Collection[str] | None]],
    ) -> None:
        self._named = named
        self._asked = asked
        self._members = members
        self._fields = fields
        self._timetable = timetable

    def next_s(self) -> float | None:
        """Seconds until there is something to ask; ``None``: nothing is owed."""
        self._timetable.follow(self._members.known.owed)
        return self._timetable.next_s()

    async def settle(self) -> bool:
        """Ask about those that are due; ``True``: more are due. A provider that is away is asked later, and no fault.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known, timetable = self._members.known, self._timetable
        timetable.follow(known.owed)
        due = timetable.due()
        if not due:
            return False
        fetch = Fetch(self._asked, self._fields, due, looks_again=True)
        try:
            await fetch.run()
        except ProviderError as error:
            log.warning("what is owed is asked for later", extra={"error": str(error), "accounts": len(known.owed)})
            timetable.rest()
        else:
            timetable.rested()
        missing = [alias for alias, why in fetch.unread.items() if why == MISSING]
        removed = [alias for alias in missing if known.owed[alias].is_gone]
        # What an answer named and nobody ever had is not asked for until the end of days.
        never = [alias for alias in missing if self._was_never_there(alias)]
        still = {a: why for a, why in fetch.unread.items() if not known.owed[a].is_gone and a not in never}
        unsure = await self._unsure(fetch.found)
        found = {alias: account for alias, account in fetch.found.items() if alias not in unsure}
        await self._members.apply(Step(known.ver or 0, found=found, unread=still, removed=removed, settled=never))
        timetable.follow(known.owed)
        # Those that stopped it too: the next ones have their turn, or five could keep everybody waiting.
        timetable.in_vain([alias for alias in (*fetch.unread, *fetch.stopped_by, *unsure) if alias in known.owed])
        return bool(timetable.due())

    async def _unsure(self, found: Collection[str]) -> Collection[str]:
        """Who of those that were found may be another person than the one who was said to be deleted."""
        said = {alias for alias in found if self._members.known.owed[alias].why == DELETED}
        if not said:
            return said
        try:
            named = await self._named()
        except ProviderError:
            named = None
        return said if named is None else said.intersection(named)

    def _was_never_there(self, alias: str) -> bool:
        known = self._members.known
        owed = known.owed[alias]
        return not owed.is_gone and alias not in known.accounts and known.now_ms() - owed.since > _NEVER_THERE_MS
