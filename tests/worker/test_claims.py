"""What a listing of members claims, as a pure function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.commands.leader import shown
from bridge.provider.members import Action, UserChange
from bridge.worker.claims import Claims, followed_by, is_another, read_claims, read_everybody
from bridge.worker.guard import Guard

A, B, C = "a@x.cn", "b@x.cn", "c@x.cn"
DEL, ADD, MOD = Action.DEL, Action.ADD, Action.MOD


def changes(*lines: tuple[Action, str]) -> list[UserChange]:
    return [UserChange(action, alias) for action, alias in lines]


def test_the_last_action_of_an_account_counts() -> None:
    """Addresses normalised, what is no address left out; who was added comes first."""
    found = read_claims(changes((ADD, A), (MOD, B), (DEL, " A@x.CN "), (MOD, "no address"), (ADD, C)))
    assert found == Claims(present=(C, B), gone=(A,), added=frozenset({C}), anew=frozenset())


def test_accounts_come_in_the_order_of_their_last_lines() -> None:
    """What a line says of one account may rest on what an earlier one said of another."""
    found = read_claims(changes((MOD, A), (MOD, B), (MOD, A), (DEL, C)))
    assert found.present == (B, A)


def test_addresses_that_only_look_alike_are_as_many_accounts() -> None:
    """Composed or not, with a character of no width: whose mails they are is the provider's to say, and never joined.

    A profile that names one of them is not the other's, and a terminal shows what cannot be seen.
    """
    alike = ("jos\u00e9@x.cn", "jose\u0301@x.cn", "jos\u00e9\u200b@x.cn", "jose@x.cn")
    found = read_claims(changes(*((ADD, alias) for alias in alike), (DEL, alike[1])))
    assert set(found.present) == {alike[0], alike[2], alike[3]}
    assert found.gone == (alike[1],)
    assert len({shown(alias) for alias in alike}) == 4
    assert "\u200b" not in shown(alike[2])


@pytest.mark.parametrize(
    ("lines", "anew"),
    [
        ([(DEL, A), (ADD, A)], True),
        ([(DEL, A), (MOD, A)], True),
        ([(DEL, A), (ADD, A), (MOD, A)], True),
        ([(ADD, A), (DEL, A), (ADD, A)], True),
        ([(ADD, A), (MOD, A)], False),
        ([(DEL, B), (ADD, A)], False),
    ],
)
def test_who_was_deleted_before_may_be_another_person(lines: list[tuple[Action, str]], anew: bool) -> None:
    """By the lines of one answer."""
    found = read_claims(changes(*lines))
    assert (A in found.anew, A in found.present) == (anew, True)


LINES = st.lists(st.tuples(st.sampled_from((DEL, ADD, MOD)), st.sampled_from((A, B, C))), max_size=8)


@given(LINES, LINES, st.sets(st.sampled_from((A, B, C))))
def test_newer_lines_before_the_rest_of_older_ones_claim_what_all_together_would(
    older: list[tuple[Action, str]], newer: list[tuple[Action, str]], applied: set[str]
) -> None:
    """Of those who are not dealt with; of the others the newer lines alone. Who is gone is dealt with."""
    before, after, both = (read_claims(changes(*lines)) for lines in (older, newer, [*older, *newer]))
    waiting = [alias for alias in before.present if alias not in applied]
    found = followed_by(before, after, waiting)
    assert (found.present, found.gone) == (after.present, after.gone)
    for alias in after.present:
        said = both if alias in waiting else after
        assert (alias in found.added, alias in found.anew) == (alias in said.added, alias in said.anew)


def test_a_listing_of_everything_tells_who_is_there_and_no_more() -> None:
    """Each of its lines says ADD, of whoever it is."""
    assert read_everybody(changes((ADD, A), (MOD, B), (DEL, C))) == Claims((A, B), (C,))


@pytest.mark.parametrize(
    ("new", "accounts", "waiting", "held"),
    [
        (6, 20, 0, True),
        (5, 20, 0, False),
        (1, 20, 5, True),
        (1, 70, 6, False),
        (1, 20, 4, False),
        (0, 20, 9, False),
    ],
)
def test_who_waits_is_counted_with_who_comes(new: int, accounts: int, waiting: int, held: bool) -> None:
    """Or a crowd that is deleted one by one would pass; strangers and who waits already are nobody new."""
    known = {f"u{number}@x.cn" for number in range(accounts)}
    before = sorted(known)[:waiting]
    coming = sorted(known)[waiting : waiting + new]
    assert Guard(0.1, 5).holds([*coming, *before, "stranger@x.cn"], known, before) is held


@pytest.mark.parametrize(
    ("said", "another"),
    [
        ({"is_added": True}, False),
        ({"is_added": True, "waits": True}, True),
        ({"is_added": True, "recanted": True}, True),
        ({"in_listing": True, "waits": True}, False),
        ({"in_listing": True, "waits": True, "said": True}, True),
        ({"in_listing": True, "recanted": True}, False),
        ({"in_listing": True, "recanted": True, "after_refusal": True}, True),
        ({"waits": True, "said": True}, False),
    ],
)
def test_whose_an_address_is_that_was_said_to_be_deleted(said: dict[str, bool], another: bool) -> None:
    """Held deletions wait without having been said; a profile, or a line that changes something, adds nobody."""
    facts = dict.fromkeys(("waits", "said", "recanted", "is_added", "in_listing", "after_refusal"), False)
    assert is_another(**facts | said) == another
