"""What of a comparison is stored, in small pieces. Pure, apart from the clock of the events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.worker.fold import Change, Fold
from bridge.worker.known import Known
from bridge.worker.notices import Notices
from bridge.worker.pieces import Piece


def as_pieces(
    changes: Fold, known: Known, notices: Notices, ver: int, carried: Mapping[str, str] = MappingProxyType({})
) -> list[Piece]:
    """A comparison in pieces, one for each account and each address; nothing of a former holder stays.

    ``carried``: new address → former address of the same person, whose mailbox goes on.
    """
    fresh = set(changes.fresh).union(carried)
    became: list[str] = []
    gone: list[str] = []
    for slave in changes.slaves_removed:
        (became if slave in fresh else gone).append(slave)
    parts = [
        Piece(
            slaves_removed=[slave],
            moved=[slave],
            forgotten=[] if slave in known.accounts else [slave],
            barred=[slave] if slave in changes.slaves_barred else [],
        )
        for slave in gone
    ]
    accounts = {change.alias: _account(change, changes, notices, ver) for change in changes.changes}
    # In one piece with the account: once that is stored, nothing shows any more that it was another person's.
    for alias in changes.fresh:
        if alias not in carried:
            part = accounts.setdefault(alias, Piece())
            part.fresh, part.moved = [alias], [alias]
    for alias, former in carried.items():
        accounts[alias].carried = {alias: former}
    for slave in became:
        accounts[slave].slaves_removed = [slave]
    parts += accounts.values()
    for slave, alias in changes.slaves.items():
        # A main address that became a slave keeps what it has until the second look.
        keeps = slave in known.accounts
        part = Piece(slaves={slave: alias}, moved=[slave], forgotten=[] if keeps else [slave])
        if carried.get(alias) == slave or (alias in carried and known.slaves.get(slave) == carried[alias]):
            # It belongs to the same person as before.
            part.moved, part.forgotten = [], []
        parts.append(part)
    parts += [Piece(unbarred=[slave]) for slave in changes.slaves_unbarred]
    return parts


def _account(change: Change, changes: Fold, notices: Notices, ver: int) -> Piece:
    """One account's profile and event."""
    part = Piece(events=[notices.user(change, ver)])
    if change.profile is None:
        part.removed, part.forgotten = [change.alias], [change.alias]
    else:
        part.profiles = {change.alias: changes.profiles[change.alias]}
    if change.bars is not None:
        (part.barred if change.bars else part.unbarred).append(change.alias)
    return part
