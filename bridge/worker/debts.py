"""When what is owed is asked for again, and what the answers come to.

A second look is never taken at once, because pushes outrun the provider's data. An account that stays owed is asked for
ever more seldom; if all are refused alike, nobody is asked for during a pause.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from heapq import nsmallest
from typing import Final

from bridge.journal.owed import DELETED, MISSING, Owed
from bridge.provider.faults import ProviderError
from bridge.provider.members import Members
from bridge.worker.allowance import Allowance
from bridge.worker.profiles import Fetch
from bridge.worker.registrar import Registrar
from bridge.worker.step import Step

log = logging.getLogger(__name__)

_AT_A_TIME: Final = 100
_LATEST_S: Final = 3600.0
_REST_S: Final = (5.0, 60.0)
_NEVER_THERE_MS: Final = 86_400_000


class Timetable:
    """When each account is due. Only in memory: the next leader asks soon. ``now`` gives seconds."""

    def __init__(self, *, second_look_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._second_look_s = second_look_s
        self._now = now
        self._due: dict[str, tuple[int, float, float]] = {}
        self._rests = 0
        self._rest_until = 0.0

    def follow(self, owed: Mapping[str, Owed]) -> None:
        """Take over what is owed now. An account that is owed since another moment starts from the beginning."""
        now = self._now()
        for alias in self._due.keys() - owed.keys():
            del self._due[alias]
        for alias, each in owed.items():
            if self._due.get(alias, (None,))[0] != each.since:
                self._due[alias] = (each.since, now + self._second_look_s, self._second_look_s)

    def due(self) -> list[str]:
        """The accounts to ask for now, the longest due first; a bounded number."""
        now = self._now()
        if now < self._rest_until:
            return []
        found = nsmallest(_AT_A_TIME, ((at, alias) for alias, (_, at, _) in self._due.items() if at <= now))
        return [alias for _, alias in found]

    def next_s(self) -> float | None:
        """Seconds until somebody is due; ``None``: nothing is owed."""
        if not self._due:
            return None
        return max(0.0, max(self._rest_until, min(at for _, at, _ in self._due.values())) - self._now())

    def in_vain(self, aliases: Collection[str]) -> None:
        """They were asked for, and are still owed: wait longer next time."""
        for alias in aliases:
            if alias in self._due:
                since, _, wait_s = self._due[alias]
                longer_s = min(max(wait_s, 1.0) * 2, _LATEST_S)
                self._due[alias] = (since, self._now() + longer_s, longer_s)

    def rest(self) -> None:
        """The provider refuses all alike: pause, longer each time."""
        self._rest_until = self._now() + min(_REST_S[0] * 2**self._rests, _REST_S[1])
        self._rests = min(self._rests + 1, 10)

    def rested(self) -> None:
        """The provider answers: the next pause is short again."""
        self._rests = 0


class Debts:
    """Settles what is owed, a bounded number at a time.

    ``named`` gives the accounts in changes that are not applied yet, ``None`` if they cannot be known. An account that
    was said to be deleted and has a profile may be another person's: such a line may add it.
    """

    def __init__(
        self,
        members: Members,
        registrar: Registrar,
        fields: Collection[str],
        timetable: Timetable,
        allowance: Allowance,
        *,
        named: Callable[[], Awaitable[Collection[str] | None]],
    ) -> None:
        self._named = named
        self._members = members
        self._registrar = registrar
        self._fields = fields
        self._timetable = timetable
        self._allowance = allowance

    def next_s(self) -> float | None:
        """Seconds until there is something to ask; ``None``: nothing is owed."""
        self._timetable.follow(self._registrar.known.owed)
        return self._timetable.next_s()

    async def settle(self) -> bool:
        """Ask for those that are due; return whether more are. If the provider is away, they are asked for later.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known, timetable = self._registrar.known, self._timetable
        timetable.follow(known.owed)
        due = timetable.due()
        if not due:
            return False
        fetch = Fetch(self._members, self._fields, self._allowance, due, looks_again=True)
        try:
            await fetch.run()
        except ProviderError as error:
            log.warning("what is owed is asked for later", extra={"error": str(error), "accounts": len(known.owed)})
            timetable.rest()
        else:
            timetable.rested()
        missing = [alias for alias, why in fetch.unread.items() if why == MISSING]
        removed = [alias for alias in missing if known.owed[alias].is_gone]
        # An account that was once listed and never existed is not asked for forever.
        never = [alias for alias in missing if self._was_never_there(alias)]
        still = {a: why for a, why in fetch.unread.items() if not known.owed[a].is_gone and a not in never}
        unsure = await self._unsure(fetch.found)
        found = {alias: account for alias, account in fetch.found.items() if alias not in unsure}
        await self._registrar.apply(Step(known.ver or 0, found=found, unread=still, removed=removed, settled=never))
        timetable.follow(known.owed)
        # Also those whose refusals stopped the run, or five accounts could keep all others waiting.
        timetable.in_vain([alias for alias in (*fetch.unread, *fetch.stopped_by, *unsure) if alias in known.owed])
        return bool(timetable.due())

    async def _unsure(self, found: Collection[str]) -> Collection[str]:
        """Which of these accounts may belong to another person than the one who was said to be deleted."""
        said = {alias for alias in found if self._registrar.known.owed[alias].why == DELETED}
        if not said:
            return said
        try:
            named = await self._named()
        except ProviderError:
            named = None
        return said if named is None else said.intersection(named)

    def _was_never_there(self, alias: str) -> bool:
        known = self._registrar.known
        owed = known.owed[alias]
        return not owed.is_gone and alias not in known.accounts and known.now_ms() - owed.since > _NEVER_THERE_MS
