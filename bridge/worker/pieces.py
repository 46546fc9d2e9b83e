"""A change of members in pieces that are each quick to store. Pure.

Redis runs one script call at a time and serves nobody meanwhile, so a large change is stored in pieces. What belongs
together (a profile, its slaves, its event) stays together, and storing a piece twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from bridge.events import Event
from bridge.journal.calls import Advance, Call, Carry, Forget

MOST: Final = 250
MOST_BYTES: Final = 256 * 1024
_NAME_BYTES: Final = 100


@dataclass(slots=True)
class Piece:
    """What is stored in one step; the names are those of :class:`bridge.journal.calls.Advance`.

    ``forgotten``: addresses of which nothing is kept, ``fresh``: the same, and another person's from now on;
    ``carried``: address → the former one of the same person, whose mailbox goes on there.
    """

    forgotten: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    carried: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    slaves: dict[str, str] = field(default_factory=dict)
    slaves_removed: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)
    unbarred: list[str] = field(default_factory=list)
    owed: dict[str, bytes] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many entries there are to write."""
        return sum(len(getattr(self, name)) for name in _NAMES)

    @property
    def size(self) -> int:
        """About how many bytes it has: an address counts as a hundred."""
        return self.text_bytes + _NAME_BYTES * self.entries

    @property
    def text_bytes(self) -> int:
        """How many bytes its profiles, its events and its notes of what is owed have."""
        found = 0
        for texts in (self.profiles, self.owed):
            if texts:
                found += sum(map(len, texts.values()))
        return found + sum(len(event.body) for event in self.events)

    def add(self, other: Piece) -> None:
        """Append the entries of another piece."""
        for name in _NAMES:
            theirs = getattr(other, name)
            if not theirs:
                continue
            mine = getattr(self, name)
            if isinstance(mine, dict):
                mine.update(theirs)
            else:
                mine.extend(theirs)

    def calls(self, expect_ver: int | str | None, to_ver: int | None, held: bytes | None) -> list[Call]:
        """The writes of this piece, in order."""
        return [
            *(Carry(address, former) for address, former in self.carried.items()),
            # Before the accounts go: after a crash in between they are still there, and both is done again.
            *(Forget(address) for address in self.forgotten),
            *(Forget(address, anew=True) for address in self.fresh),
            Advance(
                expect_ver,
                to_ver,
                profiles=self.profiles,
                removed=self.removed,
                slaves=self.slaves,
                slaves_removed=self.slaves_removed,
                events=self.events,
                barred=self.barred,
                unbarred=self.unbarred,
                held=held,
                owed=self.owed,
                settled=self.settled,
                moved=self.moved,
                doubted=self.doubted,
                trusted=self.trusted,
            ),
        ]


_NAMES: Final = tuple(each.name for each in fields(Piece))


def joined(parts: Iterable[Piece], *, most: int = MOST, most_bytes: int = MOST_BYTES) -> list[Piece]:
    """Join small pieces, in order, into as few as stay within the bounds; into one at least."""
    pieces = [Piece()]
    entries = size = 0
    for part in parts:
        more = part.entries
        larger = part.text_bytes + _NAME_BYTES * more
        if entries and (entries + more > most or size + larger > most_bytes):
            pieces.append(Piece())
            entries = size = 0
        pieces[-1].add(part)
        entries += more
        size += larger
    return pieces
