"""An answer about members that is being applied, part by part."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from bridge.journal.owed import ABSENT, DELETED
from bridge.obs.labels import SyncKind
from bridge.worker.answer import Answer
from bridge.worker.notices import Applied
from bridge.worker.profiles import Fetch
from bridge.worker.registrar import Registrar
from bridge.worker.stage import Stage
from bridge.worker.step import Step

AT_A_TIME: Final = 250


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
            fetch.aliases = [self.waiting[at] for at in range(min(AT_A_TIME, len(self.waiting)))]
            self.fetch = fetch
        await self.fetch.run()
        return self.fetch, len(self.fetch.aliases) == len(self.waiting)

    def past(self, fetch: Fetch) -> None:
        """Note that these are stored."""
        for _ in fetch.aliases:
            self.waiting.popleft()
        self.fetch = None
        self.is_begun = True

    async def compare(self, fetch: Fetch, registrar: Registrar) -> bool:
        """Apply the next part to the mirror; return whether it was the last.

        Raises:
            ProviderError, CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        done, is_last = await self.fetched(fetch)
        claims, moves = self.answer.claims, is_last and self.answer.listing.settled
        self.applied = await registrar.apply(
            Step(
                self.ver,
                self.kind,
                moves,
                done.found,
                done.unread,
                gone=() if self.is_begun else self._gone(registrar.known.accounts),
                why_gone=DELETED if self.kind == "delta" else ABSENT,
                added=claims.added,
                anew=claims.anew,
                after_refusal=self.after_refusal,
                completes=moves,
                before=self.applied,
            )
        )
        self.past(done)
        return is_last

    def _gone(self, accounts: Collection[str]) -> Collection[str]:
        """Who is said to be gone: by a line, or by a whole listing that leaves him out."""
        claims = self.answer.claims
        is_whole = self.kind == "full" and self.answer.listing.whole
        absent = set(accounts).difference(claims.present) if is_whole else set()
        return sorted(absent.union(claims.gone))

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
        done, is_last = await self.fetched(fetch)
        await stage.add(done.found, done.unread, self.everybody)
        self.past(done)
        if is_last and self.answer.listing.settled:
            self.applied = await stage.swap(self.ver)
        return is_last
