"""What a delta changes in the mirror, as a pure function."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.events import USER_ADDED, USER_DELETED, USER_UPDATED, from_json
from bridge.provider.members import Profile
from bridge.worker.fold import Fold, fold, stored_profile

A, B, C = "a@x.cn", "b@x.cn", "c@x.cn"
S, T = "s@x.cn", "t@x.cn"


def profile(alias: str, *slaves: str, name: str = "") -> dict[str, Any]:
    return {"alias": alias, "name": name, "slaves": list(slaves)}


def apply(
    mirror: dict[str, dict[str, Any]], slaves: dict[str, str], new: dict[str, dict[str, Any] | None]
) -> tuple[Fold, dict[str, dict[str, Any]], dict[str, str]]:
    """Fold, and do to copies of mirror and slaves what the journal would do."""
    old = {alias: mirror.get(alias) for alias in new}
    named = {alias: each["slaves"] for alias, each in new.items() if each is not None}
    result = fold(old, new, named, slaves, mirror.keys())
    after = {alias: each for alias, each in mirror.items() if alias not in result.removed}
    after |= {alias: from_json(text) for alias, text in result.profiles.items()}
    left = {slave: alias for slave, alias in slaves.items() if slave not in result.slaves_removed}
    return result, after, left | result.slaves


@pytest.mark.parametrize(
    ("before", "after", "type"),
    [
        (None, profile(A), USER_ADDED),
        (profile(A, name="old"), profile(A, name="new"), USER_UPDATED),
        (profile(A), None, USER_DELETED),
        (profile(A), profile(A), None),
        (None, None, None),
    ],
)
def test_only_real_changes_come_out(before: Any, after: Any, type: str | None) -> None:
    """A MOD that changes nothing, and a DEL of what is not there, are told to nobody."""
    result, _, _ = apply({A: before} if before else {}, {}, {A: after})
    assert [change.type for change in result.changes] == ([] if type is None else [type])
    assert (A in result.profiles, A in result.removed) == (type in (USER_ADDED, USER_UPDATED), type == USER_DELETED)


@pytest.mark.parametrize(
    ("mirror", "slaves", "new", "expected"),
    [
        pytest.param({}, {}, {A: profile(A, S, T)}, {S: A, T: A}, id="new slaves"),
        pytest.param({A: profile(A, S)}, {S: A}, {A: profile(A, T)}, {T: A}, id="replaced"),
        pytest.param({A: profile(A, S)}, {S: A}, {A: None}, {}, id="gone with its account"),
        pytest.param(
            {A: profile(A, S), B: profile(B)}, {S: A}, {A: profile(A), B: profile(B, S)}, {S: B}, id="moves, both told"
        ),
        pytest.param(
            {A: profile(A, S), B: profile(B)}, {S: A}, {B: profile(B, S), A: profile(A)}, {S: B}, id="in any order"
        ),
        pytest.param({A: profile(A, S), B: profile(B)}, {S: A}, {B: profile(B, S)}, {S: B}, id="the taker told first"),
        pytest.param({A: profile(A, S), B: profile(B, S)}, {S: B}, {A: profile(A)}, {S: B}, id="the giver told later"),
        pytest.param(
            {A: profile(A, S), B: profile(B, T)},
            {S: A, T: B},
            {A: profile(A, T), B: profile(B, S)},
            {T: A, S: B},
            id="swap",
        ),
        pytest.param({}, {}, {B: profile(B, S), A: profile(A, S)}, {S: A}, id="claimed twice: the later one"),
        pytest.param(
            {A: profile(A, S)}, {S: A}, {B: profile(B, S), A: profile(A, S)}, {S: A}, id="claimed twice, kept"
        ),
        pytest.param({A: profile(A), B: profile(B)}, {}, {A: profile(A, B)}, {}, id="an account is nobody's slave"),
        pytest.param({A: profile(A)}, {}, {A: profile(A, A)}, {}, id="nor its own"),
        pytest.param(
            {A: profile(A, S)}, {S: A}, {S: profile(S)}, {}, id="a slave that becomes an account stands for itself"
        ),
        pytest.param({A: profile(A)}, {}, {A: None, B: profile(B, A)}, {A: B}, id="main address and slave swap"),
        pytest.param({C: profile(C, S)}, {S: C}, {A: profile(A)}, {S: C}, id="others stay"),
    ],
)
def test_slaves_follow_their_accounts(mirror: Any, slaves: Any, new: Any, expected: Any) -> None:
    """Slave → account after the delta; mail must never be announced to an account that it is not for."""
    _, _, left = apply(mirror, slaves, new)
    assert left == expected


ADDRESSES = st.sampled_from([A, B, C, S, T])
PROFILES = st.builds(
    lambda name, slaves: {"name": name, "slaves": slaves},
    st.sampled_from(["", "x"]),
    st.lists(ADDRESSES, max_size=3, unique=True),
)
DIRECTORIES = st.dictionaries(ADDRESSES, PROFILES, max_size=5).map(
    lambda found: {alias: {"alias": alias, **rest} for alias, rest in found.items()}
)


@given(DIRECTORIES, st.lists(DIRECTORIES, min_size=1, max_size=4))
def test_old_mirror_and_changes_make_the_new_mirror(first: Any, rounds: Any) -> None:
    """Zulip's rule: state + events == fresh state, over any sequence; and slaves never name a main address."""
    _, mirror, slaves = apply({}, {}, first)
    for goal in rounds:
        new = {alias: goal.get(alias) for alias in mirror.keys() | goal.keys()}
        result, after, slaves = apply(mirror, slaves, new)
        events = dict(mirror)
        for change in result.changes:
            assert events.get(change.alias) != change.profile
            if change.profile is None:
                del events[change.alias]
            else:
                events[change.alias] = change.profile
        mirror = after
        assert mirror == events == goal
        claimed = {slave for each in goal.values() for slave in each["slaves"]} - goal.keys()
        assert slaves.keys() == claimed
        assert all(slave in goal[alias]["slaves"] for slave, alias in slaves.items())


def test_a_profile_keeps_only_the_fields_that_are_allowed() -> None:
    """``alias`` always, the rest as set; addresses normalised."""
    whole = Profile("A@X.cn", "Ann", 2, (" S@x.cn", "none"), "boss", "1", "2", "e", ("研发",), 1, 1)
    assert stored_profile(whole, ("name", "slaves")) == {"alias": A, "name": "Ann", "slaves": [S]}
    assert stored_profile(whole, ()) == {"alias": A}
