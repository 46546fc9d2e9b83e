"""The positions of all mailboxes of one connection, as one text: joined by commas, in any order.

No mailbox is named in it, because an epoch belongs to one mailbox. So a client can put it together from the ids of
events, and the text of 21 mailboxes is at most 587 bytes long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from bridge.events import Position, parse_position

LONGEST: Final = 2048
"""In characters; nothing is read out of a text that is longer."""


def parse_positions(text: str) -> Mapping[str, Position]:
    """Read the positions that a client gives back, by epoch; what is none of ours is left out.

    Of two in one epoch the earlier counts: to tell an event twice loses none.
    """
    found: dict[str, Position] = {}
    for part in text.split(",") if len(text) <= LONGEST else ():
        position = parse_position(part.strip())
        if position is not None:
            found[position.epoch] = min(position, found.get(position.epoch, position))
    return found


def join_positions(positions: Iterable[bytes]) -> bytes:
    """The text of positions; those that are empty are left out."""
    return b",".join([position for position in positions if position])
