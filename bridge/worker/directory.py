"""When to ask for the member directory, and what to make of the answer.

``Ver`` (the cursor) moves only together with the member changes it stands for, so a crash anywhere means that the
same delta is asked for again. An answer whose Ver cannot be is not believed; then everything is asked for, and
compared with the mirror.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeVar

from bridge.journal.errors import JournalAway
from bridge.obs.metrics import Metrics
from bridge.provider.client import ProviderClient
from bridge.provider.errors import ProviderError
from bridge.provider.models import Action
from bridge.worker.fold import last_actions
from bridge.worker.members import Applied, CursorElsewhere, Kind, Members
from bridge.worker.profiles import Account, fetch_accounts

log = logging.getLogger(__name__)

_STAGE: Final = 500
_DAY_MS: Final = 86_400_000

T = TypeVar("T")
Outcome = Literal["changed", "unchanged", "refused", "held"]

DIRECTORY_FAULTS: Final = (ProviderError, JournalAway, CursorElsewhere)


class NotBelieved(Exception):
    """An answer was refused whole; the text says why."""


class Directory:
    """Keeps the mirror for a leader.

    ``look_s``: how long to go without asking where nothing is pushed; ``hurt_look_s``: the same after an answer that
    could not be used. ``lag_waits_s``: the pauses before asking again when a pushed Ver outran the data.
    ``full_pause_s``: at least so long between two full pulls that an unbelievable Ver makes necessary.
    """

    def __init__(
        self,
        client: ProviderClient,
        members: Members,
        metrics: Metrics,
        *,
        fields: Collection[str],
        look_s: float = 300.0,
        hurt_look_s: float = 30.0,
        full_pause_s: float = 600.0,
        lag_waits_s: Sequence[float] = (0.5, 1.0, 2.0),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._members = members
        self._metrics = metrics
        self._fields = frozenset(fields)
        self._look_s = look_s
        self._hurt_look_s = hurt_look_s
        self._full_pause_s = full_pause_s
        self._lag_waits_s = lag_waits_s
        self._wall = wall
        self._pushed = 0
        self._usable = True
        self._stale = False
        self._announced: tuple[int | None] | None = None
        self._full_after = 0.0
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self._current_at = wall()
        metrics.cursor_age.set_function(lambda: self._wall() - self._current_at)

    @property
    def cursor(self) -> int:
        """The Ver to listen with: 0 before the first fill (protocol 3.2.1)."""
        return self._members.ver or 0

    def version(self, ver: int) -> None:
        """The provider pushed a Ver; the latest wins."""
        self._pushed = ver
        if ver != self._members.ver:
            self._news.set()

    async def load(self) -> None:
        """Read what a leader before us left."""
        await self._read()
        # Cursor equality is no proof of completion: what happened while nobody led is asked for.
        self._news.set()

    def doubt(self) -> None:
        """Redis went back: mirror and cursor may be older than what we believe; read them, and pull from there."""
        self._stale = True
        self._news.set()

    async def run(self, progress: Callable[[], None]) -> None:
        """Pull whenever there is news, and now and then without: a pushed Ver may have been missed.

        Raises:
            ProviderError: the provider is away or busy; the cursor has not moved, run again later.
            JournalAway, CursorElsewhere: the same.
            LeaseLost
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s if self._usable else self._hurt_look_s):
                    await self._news.wait()
            self._news.clear()
            try:
                async with self._turn:
                    await self._fresh()
                    await self._pull()
            except BaseException:
                self._news.set()
                raise
            progress()

    # -- what an operator orders; each waits for a pull that is under way

    async def resync(self) -> Applied:
        """Pull everything and compare.

        Raises:
            NotBelieved: the listing is empty or has no Ver.
            ProviderError, JournalAway, CursorElsewhere
        """
        return await self._ordered(self._resync)

    async def release(self) -> Applied:
        """Delete the accounts that are held.

        Raises:
            JournalAway, CursorElsewhere
        """
        return await self._ordered(self._members.release)

    async def refuse(self) -> int:
        """Keep the accounts that are held; return how many.

        Raises:
            JournalAway, CursorElsewhere
        """
        return await self._ordered(self._members.refuse)

    async def forget(self, address: str) -> tuple[str, bool, int]:
        """Delete all that is kept of a mailbox; see :meth:`Members.forget`.

        Raises:
            JournalAway, CursorElsewhere
        """
        return await self._ordered(lambda: self._members.forget(address))

    async def _ordered(self, do: Callable[[], Awaitable[T]]) -> T:
        async with self._turn:
            await self._fresh()
            try:
                return await do()
            except CursorElsewhere:
                self._stale = True
                raise
            finally:
                # The cursor may have moved past what was pushed, or stands where a pull must go on.
                self._news.set()

    async def _resync(self) -> Applied:
        applied: list[Applied] = []
        outcome = await self._counted("full", lambda: self._full(applied.append))
        self._proved(outcome)
        if outcome == "refused":
            raise NotBelieved("the provider's listing of everything is empty or has no Ver")
        return applied[0]

    # -- asking

    async def _read(self) -> None:
        self._stale = True
        await self._members.read()
        self._stale = False

    async def _fresh(self) -> None:
        if self._stale:
            await self._read()

    async def _pull(self) -> None:
        if self._members.ver is None or not self._members.accounts:
            outcome = await self._counted("full", self._full)
        else:
            outcome = await self._counted("delta", self._follow)
            if outcome == "refused" and self._wall() >= self._full_after:
                outcome = await self._counted("full", self._full)
                self._full_after = self._wall() + self._full_pause_s
        self._proved(outcome)
        if outcome == "changed" and self._pushed > self.cursor:
            # The answer was not the newest; what comes after it is asked for, with the patience of a lag.
            self._news.set()

    def _proved(self, outcome: Outcome) -> None:
        """Remember what an answer says about how current we are."""
        self._usable = outcome != "refused"
        if outcome in ("changed", "unchanged"):
            self._current_at = self._wall()
            self._announced = None

    async def _counted(self, kind: Kind, pull: Callable[[], Awaitable[Outcome]]) -> Outcome:
        try:
            outcome = await pull()
        except DIRECTORY_FAULTS as error:
            self._metrics.directory_syncs.labels(kind=kind, outcome="failed").inc()
            self._stale = self._stale or isinstance(error, CursorElsewhere)
            raise
        self._metrics.directory_syncs.labels(kind=kind, outcome=outcome).inc()
        return outcome

    async def _follow(self) -> Outcome:
        """Ask for what changed after the cursor, and apply it."""
        cursor, pushed = self.cursor, self._pushed
        delta = await self._client.user_list(cursor)
        for wait_s in self._lag_waits_s:
            if delta.changes or pushed <= cursor or (delta.ver or 0) > cursor:
                break
            # A push can outrun the data.
            await asyncio.sleep(wait_s)
            delta = await self._client.user_list(cursor)
        if not delta.changes and (delta.ver or 0) <= cursor and self._pushed == pushed:
            # Waited for in vain, or nothing to wait for; once is enough for one push.
            self._pushed = 0
        if not delta.ver or delta.ver < cursor:
            await self._refuse("the answer's Ver is missing or below the cursor", delta.ver)
            return "refused"
        if delta.ver > max(cursor, self._wall() * 1000) + _DAY_MS:
            await self._refuse("the answer's Ver is more than a day ahead", delta.ver)
            return "refused"
        actions = last_actions(delta.changes)
        present = [alias for alias, action in actions.items() if action is not Action.DEL]
        found: dict[str, Account | None] = dict.fromkeys(actions)
        found |= await self._fetched(present)
        applied = await self._members.apply(found, ver=delta.ver, kind="delta")
        if applied.held:
            return "held"
        return "changed" if actions or delta.ver != cursor else "unchanged"

    async def _full(self, tell: Callable[[Applied], None] = lambda applied: None) -> Outcome:
        """Ask for everything (Ver 0), and compare with the mirror; ``tell`` what that changed.

        The listing's Ver becomes the cursor also where it is lower or far ahead: two answers then agree on it, and a
        later one that does not is compared in full again.
        """
        delta = await self._client.user_list(0)
        # In a full listing any action but DEL means present.
        present = [a for a, action in last_actions(delta.changes).items() if action is not Action.DEL]
        if not delta.ver or not present:
            await self._refuse("the full listing is empty" if delta.ver else "the full listing has no Ver", delta.ver)
            return "refused"
        if not self._members.accounts:
            tell(await self._first_fill(delta.ver, present))
            return "changed"
        found: dict[str, Account | None] = dict.fromkeys(sorted(self._members.accounts.difference(present)))
        found |= await self._fetched(present)
        applied = await self._members.apply(found, ver=delta.ver, kind="full")
        tell(applied)
        return "held" if applied.held else "changed"

    async def _first_fill(self, ver: int, aliases: Sequence[str]) -> Applied:
        """Stage all profiles, then make the stage the mirror in one step."""
        members = self._members
        await members.clear_stage()
        staged = 0
        for at in range(0, len(aliases), _STAGE):
            fetched = await fetch_accounts(self._client, aliases[at : at + _STAGE], fields=self._fields)
            await members.stage(fetched, set(aliases))
            staged += sum(each.profile is not None for each in fetched)
        return await members.swap(ver, staged)

    async def _fetched(self, aliases: Sequence[str]) -> Mapping[str, Account]:
        accounts = await fetch_accounts(self._client, aliases, fields=self._fields)
        return {account.alias: account for account in accounts}

    async def _refuse(self, why: str, answered: int | None) -> None:
        """Announce an answer that is not believed; once, however often it comes."""
        log.warning("directory answer refused", extra={"why": why, "ver": self._members.ver, "answered": answered})
        if self._announced != (answered,):
            await self._members.announce_held(why, answered)
            self._announced = (answered,)
