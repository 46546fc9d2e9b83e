"""Whether a new account is a deleted one under another main address. Pure.

The provider knows no renaming: it lists a deletion and an addition. Only the ExtId says who it is, because the company
assigns it; and only if it belongs to one person alone, before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def matched(came: Mapping[str, str], went: Mapping[str, str]) -> dict[str, str]:
    """New address → former address, for each ExtId that exactly one new and one deleted account have.

    Both map an address to its ExtId; an account without one matches nobody.
    """
    former = _by_ext_id(went)
    return {
        aliases[0]: former[ext_id][0]
        for ext_id, aliases in _by_ext_id(came).items()
        if len(aliases) == 1 and len(former.get(ext_id, ())) == 1
    }


def alone(pairs: Mapping[str, str], ext_ids: Mapping[str, str], everybody: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those pairs whose ExtId nobody else has; ``everybody``: address and ExtId of all accounts, present and former."""
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
