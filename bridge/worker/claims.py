"""What an answer of ``user/list`` claims about people. Pure.

It is a claim and not a fact: pushes outrun the provider's data, listings come short, and what a line says of somebody
is looked at a second time before anything of him is deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bridge.events import normalise_address
from bridge.provider.models import Action, Delta


@dataclass(frozen=True, slots=True)
class Claims:
    """Each account once, by its last line; those that were added come first.

    ``present`` are said to be there, ``gone`` to be deleted. ``added``: of those present, the ones with a line that
    says so; ``anew``: the ones that were deleted before, within the same answer: another person, perhaps.
    """

    present: tuple[str, ...]
    gone: tuple[str, ...]
    added: Collection[str] = frozenset()
    anew: Collection[str] = frozenset()


def read_claims(delta: Delta) -> Claims:
    """What a listing of changes says (protocol 3.3.3); addresses that cannot be one are left out."""
    last: dict[str, Action] = {}
    deleted: set[str] = set()
    added: set[str] = set()
    for change in delta.changes:
        alias = normalise_address(change.alias)
        if alias is None:
            continue
        last.pop(alias, None)
        last[alias] = change.action
        if change.action is Action.DEL:
            deleted.add(alias)
            added.discard(alias)
        elif change.action is Action.ADD:
            added.add(alias)
    there = [alias for alias, action in last.items() if action is not Action.DEL]
    return Claims(
        present=tuple(sorted(there, key=lambda alias: alias not in added)),
        gone=tuple(alias for alias, action in last.items() if action is Action.DEL),
        added=frozenset(added),
        anew=frozenset(deleted.intersection(there)),
    )


def read_everybody(delta: Delta) -> Claims:
    """What a listing of everything says: any action but DEL means that the account is there, and no more than that."""
    found = read_claims(delta)
    return Claims(present=found.present, gone=found.gone)


def is_short(delta: Delta) -> bool:
    """Whether lines are missing from an answer, or cannot be read: its Count says so."""
    return delta.unreadable > 0 or (delta.count is not None and delta.count > len(delta.changes))


def is_whole(delta: Delta) -> bool:
    """Whether a listing of everything vouches for being one: its List is as long as its Count."""
    return delta.unreadable == 0 and delta.count == len(delta.changes)
