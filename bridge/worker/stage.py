"""The first fill of the mirror: accounts are staged, and all are swapped in by one step.

A fill costs one call for each account and may take hours with a provider that limits its callers, so the stage outlives
faults, restarts and leaders. The cursor of its *first* listing becomes the cursor: a later one would skip changes of
accounts that had been read before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from bridge.events import to_json
from bridge.journal.calls import Advance
from bridge.journal.mirror import Mirror
from bridge.journal.owed import MISSING, Owed
from bridge.journal.profile import named
from bridge.worker.fold import owners
from bridge.worker.notices import Applied, Notices
from bridge.worker.pieces import Piece, joined
from bridge.worker.profiles import Account
from bridge.worker.scribe import Scribe


class Stage:
    """``fields``: what a profile may hold. A stage that was filled with other fields is begun anew."""

    def __init__(self, scribe: Scribe, mirror: Mirror, notices: Notices, fields: Collection[str]) -> None:
        self._scribe = scribe
        self._mirror = mirror
        self._notices = notices
        self._fields = hashlib.sha256(",".join(sorted(fields)).encode()).hexdigest()[:8]
        self._count = 0

    async def begin(self, ver: int) -> tuple[int, set[str]]:
        """Go on with what is staged, or begin with a listing of ``ver``.

        Returns the cursor of the first listing, and the accounts that are staged already.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        beginning, staged = await self._mirror.staged()
        stored, _, fields = beginning.partition(":")
        first = self._scribe.known.cursor_of(stored)
        if first is not None and fields == self._fields:
            self._count = len(staged)
            return first, staged
        self._count = 0
        await self._scribe.commit(Advance(self._scribe.known.stored_ver, None, "next", stage=f"{ver}:{self._fields}"))
        return ver, set()

    async def add(self, found: Mapping[str, Account], unread: Mapping[str, str], all_aliases: Collection[str]) -> None:
        """Stage accounts. Those that could not be read are owed, and staged by name unless they seem to be missing.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        known = self._scribe.known
        profiles = {alias: to_json(account.profile) for alias, account in found.items()}
        by_name = [alias for alias, why in unread.items() if why != MISSING]
        profiles |= {alias: to_json(named(alias)) for alias in by_name}
        slaves = owners({alias: account.slaves for alias, account in found.items()}, all_aliases.__contains__)
        # Where the provider does not say whether an account is disabled, what was known of it counts.
        off = [
            alias
            for alias, account in found.items()
            if account.disabled or (account.disabled is None and alias in known.barred)
        ]
        off += [alias for alias in by_name if alias in known.barred]
        parts = [Piece(profiles={alias: profile}) for alias, profile in profiles.items()]
        parts += [Piece(slaves={slave: alias}) for slave, alias in slaves.items()]
        parts += [Piece(barred=[alias]) for alias in off]
        parts += [Piece(owed={alias: Owed(known.now_ms(), why).as_json()}) for alias, why in unread.items()]
        for piece in joined(parts):
            if piece.entries:
                await self._scribe.commit(
                    Advance(
                        known.stored_ver,
                        None,
                        "next",
                        profiles=piece.profiles,
                        slaves=piece.slaves,
                        barred=piece.barred,
                        owed=piece.owed,
                    )
                )
        self._count += len(profiles)

    async def swap(self, ver: int) -> Applied:
        """Make the stage the mirror, and ``ver`` the cursor, in one step.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known = self._scribe.known
        counts = Applied(added=self._count)
        event = self._notices.synced(known.ver, ver, counts, initial=True)
        await known.expect_all(await self._mirror.staged_slaves())
        await self._scribe.commit(Advance(known.stored_ver, ver, "swap", events=[event], held=b""))
        await known.read(self._mirror)
        return counts
