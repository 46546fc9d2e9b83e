"""An operator's decisions about members: deletions that are held, and mailboxes to forget."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from bridge.journal.calls import Scrub, Stream
from bridge.journal.mirror import Mirror
from bridge.worker.notices import Applied, Notices
from bridge.worker.pieces import Piece
from bridge.worker.registrar import Registrar
from bridge.worker.scribe import Scribe
from bridge.worker.step import Step

_AT_A_TIME: Final = 250
_SCRUBBED: Final = 500
_STREAMS: Final[tuple[Stream, ...]] = ("events", "log", "audit", "dead")


class NotWhatWasShown(Exception):
    """Other accounts are held than the operator was shown; the text is for people."""


class Decisions:
    """Carries them out."""

    def __init__(self, registrar: Registrar, scribe: Scribe, mirror: Mirror, notices: Notices) -> None:
        self._registrar = registrar
        self._scribe = scribe
        self._mirror = mirror
        self._notices = notices

    async def release(self, digest: str) -> Applied:
        """Delete the accounts that are held, provided they are those that the operator was shown.

        Raises:
            NotWhatWasShown
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        self._check(digest)
        known, counts = self._registrar.known, Applied()
        held = known.held
        gone = [alias for alias in held.aliases if alias in known.accounts] if held is not None else []
        for at in range(0, len(gone), _AT_A_TIME):
            step = Step(known.ver or 0, removed=gone[at : at + _AT_A_TIME], completes=False, before=counts)
            counts = await self._registrar.apply(step)
        events = [self._notices.synced(known.ver, known.ver or 0, counts)] if counts.changes else []
        await self._scribe.write([Piece(events=events)], ver=None, held=None)
        return counts

    async def refuse(self, digest: str) -> int:
        """Keep the accounts that are held; return how many. The next full pull proposes them again.

        Raises:
            NotWhatWasShown
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        self._check(digest)
        held = self._registrar.known.held
        await self._scribe.write([Piece()], ver=None, held=None)
        return 0 if held is None else len(held.aliases)

    def _check(self, digest: str) -> None:
        held = self._registrar.known.held
        if held is not None and held.digest != digest:
            raise NotWhatWasShown(
                f"what is held has changed: {len(held.aliases)} accounts, {held.digest}; look at it again"
            )

    async def forget(self, address: str) -> tuple[str, bool, int]:
        """Delete all that is kept of a mailbox; return its account, whether the mirror had it, and entries scrubbed.

        Whoever follows the mirror gets ``user.deleted``, which is then scrubbed with the rest: a later reader of the
        stream finds a hole. A barred address stays barred.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known = self._registrar.known
        alias = known.slaves.get(address, address)
        slaves = known.slaves_of(alias)
        is_known = alias in known.accounts
        held = known.held
        if held is not None and alias in held.aliases:
            left = tuple(each for each in held.aliases if each != alias)
            held = replace(held, aliases=left) if left else None
        piece = Piece(forgotten=[alias, *slaves])
        if is_known or slaves:
            piece.removed, piece.slaves_removed = [alias], slaves
        if is_known:
            piece.events = [self._notices.deleted(alias, known.ver or 0)]
        owed = known.owed.get(alias)
        if owed is not None:
            # An account that is said to be gone keeps its second look; until then its address stays barred.
            piece.settled = [] if owed.is_gone else [alias]
        await self._scribe.write([piece], ver=None, held=held)
        return alias, is_known, await self._scrub({alias, *slaves})

    async def _scrub(self, addresses: Collection[str]) -> int:
        scrubbed = 0
        for stream in _STREAMS:
            ids = await self._mirror.entries_of(stream, addresses)
            for at in range(0, len(ids), _SCRUBBED):
                await self._scribe.commit(Scrub(stream, ids[at : at + _SCRUBBED]))
            scrubbed += len(ids)
        return scrubbed
