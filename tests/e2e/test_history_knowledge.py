"""What the history checker holds the bridge to: of whose leaving it can know, and what is said where one stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator.api.calls import RecordedCall
from tests.support.history.evidence import evidence
from tests.support.history.harness import Harness, Sight
from tests.support.history.knowledge import is_sure, was_seen
from tests.support.history.staff import DESKS, PLACES, Staff, Tenure
from tests.support.workers import simulating

DESK = DESKS[0]
PLACE, OTHER_PLACE = PLACES[:2]


class Record:
    """A harness in which nothing is played: what happened is written down, a second for each entry."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self._at = 0.0

    def begins(self, address: str, person: int) -> Tenure:
        """Somebody has an address from now on; an alias goes with the account that he has."""
        world, staff = self.harness.world, self.harness.staff
        if address in PLACES:
            world.add_user(address, slaves=())
        else:
            place = next(each.address for each in staff.tenures if each.person == person)
            world.modify_user(place, slaves=(address,))
        tenure = Tenure(address, person, self.later(), self._at, world.ver)
        staff.tenures.append(tenure)
        return tenure

    def ends(self, tenure: Tenure) -> None:
        """He has it no longer: an account with all its aliases is deleted, an alias taken away."""
        world, staff = self.harness.world, self.harness.staff
        if tenure.address in PLACES:
            world.delete_user(tenure.address)
            ended = [each for each in staff.tenures if each.person == tenure.person and each.until is None]
        else:
            place = next(each.address for each in staff.tenures if each.person == tenure.person)
            world.modify_user(place, slaves=())
            ended = [tenure]
        at = self.later()
        for each in ended:
            each.until, each.ended, each.until_ver = at, at, world.ver

    def stored(self, *, ver: int | None = None, owed: frozenset[str] = frozenset()) -> None:
        """The cursor is seen in Redis, where the provider is now unless it is said to be elsewhere."""
        ver = self.harness.world.ver if ver is None else ver
        self.harness.sights.append(Sight(ver, {}, {}, set(owed), self.later()))

    def listed(self) -> None:
        """Everybody is asked for."""
        self.harness.provider.calls._calls.append(RecordedCall("user/list", {"ver": ["0"]}, "ok", 1, self.later()))

    def later(self) -> float:
        self._at += 1
        return self._at


@pytest.fixture
async def record(tmp_path: Path) -> AsyncIterator[Record]:
    async with simulating() as provider:
        harness = Harness(EmbeddedServer(tmp_path), 1, people=True)
        harness.provider, harness.world = provider, provider.world
        harness.staff = Staff(harness.world, [], 1)
        yield Record(harness)


def test_an_alias_was_seen_where_the_cursor_came_by_while_it_was_his(record: Record) -> None:
    """Not where it came there before him, made up, nor where his profile was owed."""
    record.begins(PLACE, 1)
    ahead = record.harness.world.ver + 1
    record.stored(ver=ahead)
    tenure = record.begins(DESK, 1)
    assert tenure.from_ver == ahead
    record.stored(ver=ahead)
    assert not was_seen(record.harness, tenure)
    record.harness.world.modify_user(PLACE, name="Ann")
    record.stored(owed=frozenset({PLACE}))
    assert not was_seen(record.harness, tenure)
    record.stored()
    assert was_seen(record.harness, tenure)
    record.ends(tenure)
    assert was_seen(record.harness, tenure)
    assert is_sure(record.harness, tenure)


def test_a_cursor_that_is_stored_afterwards_may_stand_for_a_profile_of_afterwards(record: Record) -> None:
    """``user/list`` was asked while the alias was his, ``user/get`` when it was not."""
    record.begins(PLACE, 1)
    tenure = record.begins(DESK, 1)
    listed = record.harness.world.ver
    record.ends(tenure)
    record.stored(ver=listed)
    assert not is_sure(record.harness, tenure)


@pytest.mark.parametrize("again", ["the line comes first", "everybody is asked for first", "and another had the alias"])
def test_who_has_the_same_account_and_alias_is_told_apart_by_the_account(record: Record, again: str) -> None:
    """A listing of everybody does not say that an account was made anew, and then the alias does not, either."""
    first = record.begins(PLACE, 1)
    record.begins(OTHER_PLACE, 2)
    tenure = record.begins(DESK, 1)
    record.stored()
    record.ends(first)
    if again == "the line comes first":
        record.stored()
    if again == "and another had the alias":
        between = record.begins(DESK, 2)
        record.stored()
        record.ends(between)
    record.begins(PLACE, 3)
    record.listed()
    record.begins(DESK, 3)
    record.stored()
    assert is_sure(record.harness, tenure) == (again != "everybody is asked for first")


def test_what_is_known_of_a_browser_is_said(record: Record) -> None:
    """Who had its address and its account when, what is stored of both, and what was asked; in seconds of its own."""
    first = record.begins(PLACE, 1)
    tenure = record.begins(DESK, 1)
    record.stored()
    record.ends(first)
    record.begins(PLACE, 2)
    record.listed()
    told = evidence(record.harness, tenure, {DESK: PLACE}, {PLACE: 5000})
    for part in (
        f"it means {PLACE}",
        f"moved {PLACE} 3.000",
        f"moved {DESK} never",
        f"{PLACE} of 1 from -1.000 ",
        f"{PLACE} of 2 from ",
        "0.000 (Ver ",
        f"Ver {tenure.from_ver}, alias of nobody",
        "after Ver 0",
    ):
        assert part in told
