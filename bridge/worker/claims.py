"""What a listing of members claims about people. Pure.

It is a claim, not a fact: pushes outrun the provider's data, listings come short. So a second look is taken before
anything of an account is deleted.

Whose is an address after a line has deleted its account (:func:`is_another`)?

- Another person's, as soon as the provider lists it again: by a line that adds it, or in a listing of everything, which
  has no earlier lines. The new holder must not get the former one's mailbox, nor be let in with his credentials.
- The same person's, if a line merely changes it, or if the second look finds a profile and no line came in between:
  then the deletion was never meant.
- An account that was believed to be the same person's is doubted again if a line adds it after all, or if answers in
  between could not be used, because such a line may have been in them.
- Deletions that are held as too many were never believed: only a line that adds the account counts there.
- An account that a listing merely leaves out was deleted by no line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bridge.events import normalise_address
from bridge.provider.members import Action, UserChange


@dataclass(frozen=True, slots=True)
class Claims:
    """Each account once, by its last line; those that were added come first.

    ``present`` are said to exist, ``gone`` to be deleted. ``added``: those present that a line adds; ``anew``: those
    present that an earlier line of the same answer deletes, who may be other persons.
    """

    present: tuple[str, ...]
    gone: tuple[str, ...]
    added: Collection[str] = frozenset()
    anew: Collection[str] = frozenset()


def read_claims(changes: Iterable[UserChange]) -> Claims:
    """Read a listing of changes; what cannot be an address is left out."""
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
    """Read a listing of everybody: any action but DEL means that the account exists, and no more than that."""
    found = read_claims(changes)
    return Claims(present=found.present, gone=found.gone)


def followed_by(claims: Claims, newer: Claims, waiting: Collection[str]) -> Claims:
    """What newer lines claim where older ones are applied only in part; ``waiting``: those of the older ones' accounts
    that are not. Of whom the newer lines name, what the older ones say of the time before still counts.
    """
    dealt_with = set(newer.present).difference(waiting)
    return Claims(
        present=newer.present,
        gone=newer.gone,
        added=frozenset(claims.added).difference(dealt_with, newer.anew).union(newer.added),
        anew=frozenset(claims.anew).difference(dealt_with).union(newer.anew),
    )


def is_another(
    *, waits: bool, said: bool, recanted: bool, is_added: bool, in_listing: bool, after_refusal: bool
) -> bool:
    """Whether an account that exists may belong to another person than before.

    ``waits``: it was said to be deleted, and nothing else since · ``said``: a line said so, and was believed ·
    ``recanted``: such a line was contradicted later · ``is_added``: a line adds it now · ``in_listing``: a listing of
    everybody has it now · ``after_refusal``: that was asked for because answers before it could not be used.
    """
    if is_added:
        return waits or recanted
    return in_listing and (said or (recanted and after_refusal))
