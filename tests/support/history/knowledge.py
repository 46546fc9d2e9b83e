"""Whose leaving the bridge can know of: it has only the provider's answers, and some changes leave no trace in them.

The connections of those must have ended; a person whose leaving left no trace may still have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.history.staff import DESKS, PLACES, Tenure

if TYPE_CHECKING:
    from tests.support.history.harness import Harness


def is_sure(harness: Harness, tenure: Tenure) -> bool:
    """Whether the bridge can know that the next holder is another person.

    A listing of everybody says who is there, not that he was deleted and made anew: where one was asked for before a
    line had said that he was deleted, the former holder cannot be told from the present one. An alias that was given
    and taken away between two answers was nobody's, as far as the answers tell.
    """
    if tenure.until is None:
        return True
    if tenure.address in DESKS:
        return was_seen(harness, tenure) and _is_told_apart(harness, tenure)
    if tenure.address not in harness.world.accounts:
        return True
    nexts = [each for each in harness.staff.tenures if each.address == tenure.address and each.since >= tenure.until]
    # A Ver that the provider made up tells of nothing that was applied.
    real = {entry.ver for entry in harness.world.directory if entry.ver >= nexts[0].from_ver}
    applied = min((sight.at for sight in harness.sights if sight.ver in real), default=float("inf"))
    everybody = [
        call.at_s
        for call in harness.provider.calls.of("user/list")
        if call.params.get("ver") == ["0"] and tenure.ended is not None and tenure.ended <= call.at_s <= applied
    ]
    known = {entry.ver for entry in harness.world.directory if entry.ver >= tenure.until_ver}
    said = min((sight.at for sight in harness.sights if sight.ver in known), default=float("inf"))
    return not everybody or said < everybody[0]


def was_seen(harness: Harness, tenure: Tenure) -> bool:
    """Whether the cursor stood for a while where the address was his, and his profile had been read.

    The cursor is where ``user/list`` was when it was asked; the profile is read afterwards. So only a cursor that was
    stored while the alias still was his tells that the profile named it: one that was stored later may stand for a
    profile of after.
    """
    account = account_of(harness, tenure.person).address
    ended = float("inf") if tenure.ended is None else tenure.ended
    until_ver = float("inf") if tenure.until is None else tenure.until_ver
    real = {entry.ver for entry in harness.world.directory if tenure.from_ver <= entry.ver < until_ver}
    # Where the cursor stood before the provider came there it was made up.
    real -= {sight.ver for sight in harness.sights if sight.at < tenure.began}
    return any(sight.ver in real and sight.at < ended and account not in sight.owed for sight in harness.sights)


def account_of(harness: Harness, person: int) -> Tenure:
    """When a person had an account."""
    return next(each for each in harness.staff.tenures if each.person == person and each.address in PLACES)


def _is_told_apart(harness: Harness, tenure: Tenure) -> bool:
    """Whether the answers tell a former holder of an alias from the present one.

    By the account that it means now, or meant in between; where that is the same, by the change of person there.
    """
    present = harness.staff.holder(tenure.address)
    if present is None:
        return True
    if present.person == tenure.person:
        return False
    own = [each for each in harness.staff.tenures if each.address == tenure.address]
    account = account_of(harness, tenure.person)
    for later in own[own.index(tenure) + 1 :]:
        is_elsewhere = account_of(harness, later.person).address != account.address
        if is_elsewhere and (later is present or was_seen(harness, later)):
            return True
    return is_sure(harness, account)
