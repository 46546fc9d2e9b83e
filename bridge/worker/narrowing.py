"""A narrower privacy or list of profile fields holds for what is stored, too.

Nothing that was stored under the wider setting stays: histories, the stream of all events, dead documents, profile
fields. Removing single entries would leave holes, which readers report as losses; so a new generation begins. A crash
in between does no harm: the new setting is noted with the last step, and the steps can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from bridge.events import to_json
from bridge.journal.calls import Advance
from bridge.journal.made import REVISION, Made, Privacy
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer

log = logging.getLogger(__name__)

_PIECE: Final = 250


class Narrowing:
    """Compares what is stored with what may be. A leader does this before its first commit."""

    def __init__(self, writer: Writer, mirror: Mirror, *, privacy: Privacy, fields: Collection[str]) -> None:
        self._writer = writer
        self._mirror = mirror
        self._now = Made(privacy, frozenset(fields), REVISION)

    async def applied(self) -> bool:
        """Remove what may not be stored; return whether all members have to be compared.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        mirror, now = self._mirror, self._now
        is_used, before = await mirror.is_used(), await mirror.made()
        if is_used and before.is_wider_than(now):
            log.warning(
                "stored under a wider privacy: taken out, a new generation begins",
                extra={"before": before.privacy, "now": now.privacy},
            )
            await self._cut_profiles()
            addresses = await mirror.aliases() | await mirror.addresses_of_events()
            await self._writer.erase_logs(sorted(addresses))
            await self._writer.begin_generation(Made(now.privacy, self._kept(before), before.revision))
        # Of what was taken out nothing is missing: what was too little before is it now.
        if before.is_poorer_than(now) and await mirror.size():
            return True
        await self.noted()
        return False

    async def noted(self) -> None:
        """Note that what is stored was made by the present settings.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        if await self._mirror.made() != self._now:
            await self._writer.note_made(self._now)

    def _kept(self, before: Made) -> frozenset[str] | None:
        fields = self._now.fields or frozenset()
        return None if before.fields is None else before.fields & fields

    async def _cut_profiles(self) -> None:
        """Remove the fields that may not be kept any more from every profile."""
        fields, ver = self._now.fields or frozenset(), await self._mirror.stored_ver()
        profiles = await self._mirror.everybody()
        changed = {
            alias: to_json({name: value for name, value in profile.items() if name in fields})
            for alias, profile in profiles.items()
            if not fields.issuperset(profile)
        }
        aliases = sorted(changed)
        for start in range(0, len(aliases), _PIECE):
            piece = {alias: changed[alias] for alias in aliases[start : start + _PIECE]}
            await self._writer.commit([Advance(ver, None, profiles=piece)])
        if changed:
            # Staged profiles have the fields too: the fill begins again.
            await self._writer.commit([Advance(ver, None, into="next")])
