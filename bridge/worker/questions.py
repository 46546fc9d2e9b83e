"""Ask the source of members, and judge how far an answer can be used: counted, and announced where it cannot."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from bridge.journal.errors import JournalAway
from bridge.obs.labels import SyncKind, SyncOutcome
from bridge.obs.metrics import Metrics
from bridge.provider.faults import BadParameter, ProviderError
from bridge.provider.members import Listing, Members
from bridge.worker.answer import Answer, read_answer
from bridge.worker.notices import Applied
from bridge.worker.registrar import Registrar
from bridge.worker.scribe import CursorElsewhere

log = logging.getLogger(__name__)

T = TypeVar("T")

DIRECTORY_FAULTS: Final = (ProviderError, BadParameter, JournalAway, CursorElsewhere)


class Questions:
    """A leader's questions about members. ``wall`` gives epoch seconds of the clock that all processes share."""

    def __init__(self, members: Members, registrar: Registrar, metrics: Metrics, *, wall: Callable[[], float]) -> None:
        self._members = members
        self._registrar = registrar
        self._known = registrar.known
        self._metrics = metrics
        self._wall = wall
        self._announced: tuple[object, ...] = ()
        self._current_at = wall()
        self.usable = True
        """Whether the last answer could be used, and asking again would bring nothing better."""
        metrics.cursor_age.set_function(lambda: self._wall() - self._current_at)

    async def changes(self, cursor: int, *, announced: int) -> Answer:
        """What changed after the cursor; see :meth:`bridge.provider.members.Members.changes`.

        Raises:
            ProviderError
        """
        listing = await self._members.changes(cursor, announced=announced, now_s=self._wall())
        return await read_answer(listing, "delta")

    async def everybody(self) -> Answer:
        """Everybody who is there.

        Raises:
            ProviderError
        """
        return await read_answer(await self._members.everything(), "full")

    async def counted(self, kind: SyncKind, doing: Awaitable[T]) -> T:
        """Wait for a part of a pull, and count its fault."""
        try:
            return await doing
        except DIRECTORY_FAULTS:
            self._metrics.directory_syncs[kind, "failed"].inc()
            raise

    async def refused(self, kind: SyncKind, listing: Listing) -> None:
        """Note that an answer cannot be used.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        self._metrics.directory_syncs[kind, "refused"].inc()
        self.usable = False
        await self._announce(listing.refused, listing.answered, (listing.answered,))

    async def applied(self, kind: SyncKind, answer: Answer, counts: Applied, *, moved: bool) -> SyncOutcome:
        """Note that an answer is applied, and what it came to; ``moved``: the cursor has moved.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        listing = answer.listing
        if listing.short:
            await self._announce(listing.short, listing.ver, ("short", kind))
        outcome: SyncOutcome = "changed"
        if counts.held:
            outcome = "held"
        elif listing.short:
            outcome = "short"
        elif kind == "delta" and answer.is_empty and not moved:
            outcome = "unchanged"
        self._metrics.directory_syncs[kind, outcome].inc()
        self.usable = listing.settled
        if listing.settled:
            self._current_at = self._wall()
            if not listing.short:
                self._announced = ()
        return outcome

    async def _announce(self, why: str, answered: int | None, once: tuple[object, ...]) -> None:
        """Say that an answer is refused or short; once for as long as ``once`` stays the same."""
        log.warning("directory answer refused", extra={"why": why, "ver": self._known.ver, "answered": answered})
        if self._announced != once:
            await self._registrar.announce_held(why, answered)
            self._announced = once
