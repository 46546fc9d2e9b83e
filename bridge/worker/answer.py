"""A listing of members, and its claims as far as they are believed.

A listing that comes short proves no absence: nobody is gone because of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from bridge.obs.labels import SyncKind
from bridge.provider.members import Listing
from bridge.worker.claims import Claims, read_claims, read_everybody

_LONG: Final = 5000
_NOBODY: Final = Claims((), ())


@dataclass(frozen=True, slots=True)
class Answer:
    """A refused listing has no claims. One whose claims are read has no lines: they are objects by the ten thousand,
    through which Python's collector would walk for as long as the answer is being applied.
    """

    listing: Listing
    claims: Claims = _NOBODY

    @property
    def is_empty(self) -> bool:
        """Whether it names nobody."""
        return not (self.claims.present or self.claims.gone)


async def read_answer(listing: Listing, kind: SyncKind) -> Answer:
    """Read a listing of changes, or (``full``) of everybody."""
    if listing.refused:
        return Answer(listing)
    # Hundreds of thousands of lines would keep the pushes waiting for seconds.
    if len(listing.changes) > _LONG:
        return await asyncio.to_thread(_read, listing, kind)
    return _read(listing, kind)


def _read(listing: Listing, kind: SyncKind) -> Answer:
    if kind == "delta":
        claims = read_claims(listing.changes)
        believed = claims if listing.settled or not listing.short else replace(claims, gone=())
        return Answer(replace(listing, changes=()), believed)
    claims = read_everybody(listing.changes)
    if not claims.present:
        return Answer(Listing(0, refused="the full listing is empty", answered=listing.ver, newer=True))
    return Answer(replace(listing, changes=()), claims if listing.whole else replace(claims, gone=()))
