"""What of the provider's listings of members is believed."""

from __future__ import annotations

import pytest

from bridge.provider.bizmail.members import is_short, is_whole
from bridge.provider.bizmail.models import Delta
from bridge.provider.members import Action, UserChange


@pytest.mark.parametrize(
    ("count", "unreadable", "short", "whole"),
    [
        (2, 0, False, True),
        (3, 0, True, False),
        (None, 0, False, False),
        (3, 1, True, False),
        (1, 0, False, False),
        (2, 1, True, False),
        (None, 1, True, False),
    ],
)
def test_a_listing_vouches_for_being_whole_by_its_count(
    count: int | None, unreadable: int, short: bool, whole: bool
) -> None:
    """Only then does absence mean something; a delta without a Count may still say what it says."""
    told = Delta(7, (UserChange(Action.ADD, "a@x.cn"), UserChange(Action.ADD, "b@x.cn")), count, unreadable)
    assert (is_short(told), is_whole(told)) == (short, whole)
