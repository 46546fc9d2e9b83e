"""An answer about members that is being applied, part by part."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from bridge.journal.owed import ABSENT, DELETED
from bridge.obs.labels import SyncKind
from bridge.provider.faults import ProviderError
from bridge.worker.answer import Answer
from bridge.worker.claims import followed_by
from bridge.worker.notices import Applied
from bridge.worker.portions import as_set, in_order, without
from bridge.worker.profiles import Fetch
from bridge.worker.registrar import Registrar
from bridge.worker.stage import Stage
from bridge.worker.step import Step

AT_A_TIME: Final = 250
ROUNDS: Final = 16
"""How many answers come after one another in a part of a fill."""
FIRST: Final = 32
"""Of changes the first part is small, and each is twice as large as the one before: what comes first is told soon."""


@dataclass(slots=True)
class Work:
    """How far it has got. After a fault :meth:`compare` or :meth:`fill` goes on where that broke off.

    ``fills``: there is no mirror yet, and the answer fills the stage of one. ``after_refusal``: it was asked for
    because answers before it could not be used.
    """

    answer: Answer
    kind: SyncKind
    fills: bool
    ver: int
    waiting: deque[str]
    after_refusal: bool = False
    applied: Applied = Applied()  # noqa: RUF009 - frozen
    is_begun: bool = False
    fetch: Fetch | None = None
    everybody: Collection[str] = field(default_factory=frozenset)
    most: int = FIRST
    leaving: list[str] | None = None
    held: Sequence[str] = ()
    is_exodus: bool = False
    kept: set[str] = field(default_factory=set)

    @property
    def parts_read(self) -> int:
        """A number that grows with each account that is read."""
        return -len(self.waiting) + (0 if self.fetch is None else len(self.fetch.found))

    async def fetched(self, fetch: Fetch) -> tuple[Fetch, bool]:
        """Read the next accounts with ``fetch``, or go on with what was begun; say whether they are the last.

        Raises:
            ProviderError: some could not be read yet; those that were are kept.
        """
        if self.fetch is None:
            fetch.aliases = [self.waiting[at] for at in range(min(self.most, len(self.waiting)))]
            self.fetch = fetch
        await self.fetch.run()
        return self.fetch, len(self.fetch.aliases) == len(self.waiting)

    def past(self, fetch: Fetch) -> None:
        """Note that these are stored."""
        for _ in fetch.aliases:
            self.waiting.popleft()
        self.fetch = None
        self.is_begun = True
        self.most = min(2 * self.most, AT_A_TIME)

    @property
    def may_be_overtaken(self) -> bool:
        """Whether changes may be applied before the rest: there is a mirror, who is gone has been dealt with, and
        nobody has been read who is not stored."""
        is_sure = self.kind == "full" or (self.answer.listing.settled and not self.answer.listing.short)
        is_between = self.leaving == [] and not self.held and self.fetch is None
        return is_sure and is_between and not self.fills and not self.after_refusal

    async def overtaken(self, by: Answer) -> None:
        """Leave out whom a newer answer names, which is being applied first: what this one says of them is outdated.

        Read against it, somebody who was deleted since would seem to be another person.
        """
        names = {*by.claims.present, *by.claims.gone}
        self.waiting = deque(await without(self.waiting, names))
        # The cursor does not go back behind what is applied.
        self.ver = max(self.ver, by.listing.ver)

    async def headed_by(self, newer: Answer) -> None:
        """Put what changed after these changes before the rest of them; the last part moves the cursor past both."""
        claims = newer.claims
        rest = await without(self.waiting, {*claims.present, *claims.gone})
        self.answer = replace(newer, claims=followed_by(self.answer.claims, claims, self.waiting))
        self.ver = newer.listing.ver
        self.waiting = deque([*claims.present, *rest])
        # Who is gone is judged and comes first, as at the beginning.
        self.leaving = None
        self.most = FIRST

    async def compare(self, fetch: Fetch, registrar: Registrar) -> bool:
        """Apply the next part to the mirror; return whether it was the last.

        Of many who are gone, those come first: for them nobody has to be asked.

        Raises:
            ProviderError, CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        if self.leaving is None:
            gone = await self._gone(registrar.known.accounts)
            leaving, self.held = registrar.judge(await in_order(gone))
            # Also where nobody leaves: what comes next takes as long again.
            self.leaving = await in_order(leaving)
            self.leaving.reverse()
            self.is_exodus = len(self.leaving) + len(self.held) > AT_A_TIME
        if self.is_exodus and (self.leaving or self.held):
            await self._let_go(self.leaving, registrar)
            return False
        done, is_last = await self.fetched(fetch)
        claims, moves = self.answer.claims, is_last and self.answer.listing.settled
        self.applied = await registrar.apply(
            Step(
                self.ver,
                self.kind,
                moves,
                done.found,
                done.unread,
                gone=self.leaving,
                held=self.held,
                is_judged=True,
                why_gone=self._why,
                added=claims.added,
                anew=claims.anew,
                after_refusal=self.after_refusal,
                completes=moves,
                before=self.applied,
            )
        )
        self.leaving, self.held = [], ()
        self.past(done)
        return is_last

    async def _let_go(self, leaving: list[str], registrar: Registrar) -> None:
        """Apply what needs no answer of the provider: who is held, or the next of those who are gone."""
        step = Step(self.ver, self.kind, why_gone=self._why, is_judged=True, completes=False, before=self.applied)
        if self.held:
            self.applied = await registrar.apply(replace(step, held=self.held))
            self.held = ()
        else:
            self.applied = await registrar.apply(replace(step, gone=leaving[-AT_A_TIME:]))
            del leaving[-AT_A_TIME:]

    @property
    def _why(self) -> str:
        return DELETED if self.kind == "delta" else ABSENT

    async def _gone(self, accounts: Collection[str]) -> Collection[str]:
        """Who is said to be gone: by a line, or by a whole listing that leaves him out."""
        claims = self.answer.claims
        is_whole = self.kind == "full" and self.answer.listing.whole
        absent = await without(list(accounts), await as_set(claims.present)) if is_whole else []
        return {*absent, *claims.gone}

    async def fill(self, fetch: Fetch, stage: Stage) -> bool:
        """Stage the next part, and swap the stage in after the last; return whether it was the last.

        Raises:
            ProviderError, CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        if not self.is_begun:
            self.ver, staged = await stage.begin(self.ver)
            self.everybody = staged.union(self.waiting)
            self.waiting = deque(alias for alias in self.waiting if alias not in staged)
            self.is_begun = True
        # At the end of a part the last answers are waited for, and then nothing is under way: so that takes little of
        # the time where many calls are, and an order waits for few where they are not.
        self.most = max(AT_A_TIME, ROUNDS * fetch.allowance.now)
        try:
            done, is_last = await self.fetched(fetch)
        except ProviderError:
            # Who leads next need not ask for those again.
            await self._stage(stage)
            raise
        await self._stage(stage)
        await stage.add({}, done.unread, self.everybody)
        self.kept.clear()
        self.past(done)
        if is_last and self.answer.listing.settled:
            self.applied = await stage.swap(self.ver)
        return is_last

    async def _stage(self, stage: Stage) -> None:
        """Stage what was found and is not staged yet, some at a time."""
        found = {} if self.fetch is None else self.fetch.found
        fresh = [alias for alias in found if alias not in self.kept]
        for start in range(0, len(fresh), AT_A_TIME):
            some = fresh[start : start + AT_A_TIME]
            await stage.add({alias: found[alias] for alias in some}, {}, self.everybody)
            self.kept.update(some)
