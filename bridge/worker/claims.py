"""What a listing of members claims about people. Pure.

It is a claim and not a fact: pushes outrun the provider's data, listings come short, and what a line says of somebody
is looked at a second time before anything of him is deleted.

Whose an address is, once a line has said that its account is deleted (:func:`is_another`): another person's as soon as
the provider lists it again, by a line that adds it, or in a listing of everything, which has no lines of before; the
former holder's mailbox and credentials must not be his. The same person's where a line merely changes it, or where the
second look finds a profile and no line has come in between: then the deletion was never meant. But whoever was so
believed is doubted again where a line adds him after all, or where answers in between were not to be used, so that such
a line may have been passed over. Deletions that are held as too many were never believed: of those only a line that
adds counts. And who is merely left out of a listing was deleted by nobody's word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bridge.events import normalise_address
from bridge.provider.members import Action, UserChange


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


def read_claims(changes: Iterable[UserChange]) -> Claims:
    """What a listing of changes says; addresses that cannot be one are left out."""
    last: dict[str, Action] = {}
    deleted: set[str] = set()
    added: set[str] = set()
    for change in changes:
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


def read_everybody(changes: Iterable[UserChange]) -> Claims:
    """What a listing of everything says: any action but DEL means that the account is there, and no more than that."""
    found = read_claims(changes)
    return Claims(present=found.present, gone=found.gone)


def is_another(
    *, waits: bool, said: bool, recanted: bool, is_added: bool, in_listing: bool, after_refusal: bool
) -> bool:
    """Whether an account that is there may be another person's than the one that we knew.

    ``waits``: it was said to be deleted, and nothing else since · ``said``: by a line that was believed · ``recanted``:
    such a line was contradicted later · ``is_added``: a line adds it now · ``in_listing``: a listing of everything has
    it now · ``after_refusal``: that was asked for because answers before it were not to be used.
    """
    if is_added:
        return waits or recanted
    return in_listing and (said or (recanted and after_refusal))
