"""Compare profiles: old and new ones in, changes out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from bridge.events import USER_ADDED, USER_DELETED, USER_UPDATED, from_json, normalise_address, to_json
from bridge.provider.members import Profile

FIELDS: Final = tuple(each.name for each in fields(Profile))
"""What a profile may hold, in the order in which it is stored."""


@dataclass(frozen=True, slots=True)
class Change:
    """One account that really changed. ``profile`` is ``None`` for a deleted one.

    ``changed`` names what is different in an updated one: profile fields, and ``enabled``. ``enabled`` is ``None`` if
    it did not change. ``bars``: whether the address is barred from now on; ``None``: as before.
    """

    type: str
    alias: str
    profile: dict[str, Any] | None
    changed: tuple[str, ...] = ()
    enabled: bool | None = None
    bars: bool | None = None


@dataclass(slots=True)
class Fold:
    """What is to be stored and published.

    ``slaves_barred`` lost their account, ``slaves_unbarred`` have one again. ``fresh``: accounts whose address was
    another person's; their mailboxes began empty.
    """

    changes: list[Change] = field(default_factory=list)
    profiles: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    slaves: dict[str, str] = field(default_factory=dict)
    slaves_removed: list[str] = field(default_factory=list)
    slaves_barred: list[str] = field(default_factory=list)
    slaves_unbarred: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)


def stored_profile(profile: Profile, kept: Collection[str]) -> dict[str, Any]:
    """The part of a profile that may be kept (``kept``: its fields), addresses normalised."""
    alias = normalise_address(profile.alias) or profile.alias.strip().lower()
    normalised = {"alias": alias, "slaves": slaves_of(profile), "parties": list(profile.parties)}
    return {
        name: normalised[name] if name in normalised else getattr(profile, name)
        for name in FIELDS
        if name in kept or name == "alias"
    }


def slaves_of(profile: Profile) -> list[str]:
    """The account's further addresses (别名), normalised."""
    return [slave for slave in map(normalise_address, profile.slaves) if slave is not None]


def owners(slaves: Mapping[str, Sequence[str]], is_account: Callable[[str], bool]) -> dict[str, str]:
    """Slave → account, of each account's slaves. If two accounts name a slave, it belongs to the later one.

    An address that is an account of its own is nobody's slave, or its mails would be announced to another account.
    """
    return {slave: alias for alias, names in slaves.items() for slave in names if not is_account(slave)}


def fold(
    old: Mapping[str, Mapping[str, Any] | None],
    new: Mapping[str, dict[str, Any] | None],
    slaves: Mapping[str, Sequence[str]],
    known_slaves: Mapping[str, str],
    accounts: Collection[str],
    *,
    disabled: Collection[str] = (),
    barred: Collection[str] = (),
    leaving: Collection[str] = (),
    anew: Collection[str] = (),
) -> Fold:
    """Compare what is stored with what the provider says now.

    ``old``: stored profiles by alias (``None`` = not stored); ``new``: profiles by alias (``None`` = deleted);
    ``slaves``: each present account's slaves; ``known_slaves``: slave → account as stored, as far as these accounts and
    addresses are concerned; ``accounts``: all that are stored; ``disabled``: those of ``new`` that are switched off;
    ``barred``: addresses that are barred, as stored; ``leaving``: accounts that are said to be gone, whose address
    another account may have already; ``anew``: those of ``new`` that were another person's before. Only real changes
    come out.
    """
    deleted = {alias for alias, profile in new.items() if profile is None}

    def is_account(address: str) -> bool:
        if address in new:
            return address not in deleted
        return address in accounts and address not in leaving

    claimed = owners({alias: names for alias, names in slaves.items() if alias not in deleted}, is_account)
    result = Fold()
    for alias, profile in new.items():
        before = old.get(alias)
        if profile is not None:
            change = _difference(alias, before, profile, is_off=alias in disabled, was_barred=alias in barred)
        elif before is not None:
            # A main address that has become a slave is opened by its account.
            is_slave = alias in claimed or known_slaves.get(alias, alias) != alias
            change = Change(USER_DELETED, alias, None, bars=None if is_slave else True)
            result.removed.append(alias)
        else:
            continue
        if change is not None:
            result.changes.append(change)
            if profile is not None:
                result.profiles[alias] = to_json(profile)
    result.slaves = {slave: alias for slave, alias in claimed.items() if known_slaves.get(slave) != alias}
    # Removed: what a present account does not name any more, and what has become an account of its own.
    result.slaves_removed = sorted(
        slave
        for slave, alias in known_slaves.items()
        if slave not in claimed and (alias in slaves or alias in deleted or is_account(slave))
    )
    result.slaves_barred = [
        slave for slave in result.slaves_removed if known_slaves[slave] in deleted and not is_account(slave)
    ]
    result.slaves_unbarred = sorted(slave for slave in claimed if slave in barred)
    came = {alias for alias, profile in new.items() if profile is not None}
    result.fresh = sorted(
        {alias for alias in came if alias in anew or (alias in barred and old.get(alias) is None)}
        | {slave for slave in result.slaves_removed if slave in came and slave not in accounts}
    )
    return result


def _difference(
    alias: str, before: Mapping[str, Any] | None, profile: dict[str, Any], *, is_off: bool, was_barred: bool
) -> Change | None:
    """What changed in a present account; ``None``: nothing."""
    bars = is_off if is_off != was_barred else None
    if before is None:
        return Change(USER_ADDED, alias, profile, enabled=False if is_off else None, bars=bars)
    # As it would be read after it was stored: a tuple is a list there.
    old, new = before, from_json(to_json(profile))
    changed = tuple(name for name in {**old, **new} if not (name in old and name in new and old[name] == new[name]))
    if bars is not None:
        changed += ("enabled",)
    enabled = None if bars is None else not bars
    return Change(USER_UPDATED, alias, profile, changed, enabled, bars) if changed else None
