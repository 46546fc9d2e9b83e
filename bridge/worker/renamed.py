"""Whether an account that came is one that went, under another main address. Pure.

The provider knows no renaming: it tells of a deletion and an addition. The one thing that says who it is is the ExtId,
which the company gives itself; and only where it is somebody's alone, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def matched(came: Mapping[str, str], went: Mapping[str, str]) -> dict[str, str]:
    """New address → former address, where one who came and one who went have an ExtId that no other of them has.

    Both map an address to its ExtId; who has none is nobody that we know.
    """
    former = _by_ext_id(went)
    return {
        aliases[0]: former[ext_id][0]
        for ext_id, aliases in _by_ext_id(came).items()
        if len(aliases) == 1 and len(former.get(ext_id, ())) == 1
    }


def alone(pairs: Mapping[str, str], ext_ids: Mapping[str, str], everybody: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of those, the ones whose ExtId nobody else has; ``everybody``: address and ExtId of all that are or were."""
    owners: dict[str, set[str]] = {ext_ids[alias]: set() for alias in pairs}
    for alias, ext_id in everybody:
        if ext_id in owners:
            owners[ext_id].add(alias)
    return {new: old for new, old in pairs.items() if owners[ext_ids[new]] <= {new, old}}


def _by_ext_id(ext_ids: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for alias, ext_id in ext_ids.items():
        if ext_id:
            found.setdefault(ext_id, []).append(alias)
    return found
