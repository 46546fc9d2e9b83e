"""The text that carries the positions of all mailboxes of a connection."""

from __future__ import annotations

import pytest

from bridge.edge.positions import LONGEST, join_positions, parse_positions
from bridge.events import Position


def test_the_longest_text_is_within_its_bound() -> None:
    """Of 21 mailboxes, a token's most, each with the greatest position there is; and it is read back whole."""
    positions = [Position(f"epoch{number:03}", 10**18 - 1) for number in range(21)]
    text = join_positions([str(each).encode() for each in positions])
    assert len(text) == 587
    assert len(text) <= LONGEST
    assert list(parse_positions(text.decode()).values()) == positions


def test_a_mailbox_without_a_position_is_left_out() -> None:
    """It has nothing to resume from."""
    assert join_positions([b"", b"abcdefgh-1", b"", b"annsbox1-2"]) == b"abcdefgh-1,annsbox1-2"


def test_of_two_positions_in_one_epoch_the_earlier_counts() -> None:
    """To be told of an event twice loses none."""
    for text in ("abcdefgh-7,abcdefgh-3", "abcdefgh-3,abcdefgh-7"):
        assert parse_positions(text) == {"abcdefgh": Position("abcdefgh", 3)}


@pytest.mark.parametrize("text", ["", ",", "-", "x" * 5000, ",".join(["abcdefgh-1"] * 200), "abcdefgh-01", "\u0661"])
def test_what_is_no_position_is_left_out(text: str) -> None:
    """And out of a text that is too long nothing is read, however good its beginning looks."""
    assert parse_positions(text) == {}


def test_blanks_round_a_comma_do_no_harm() -> None:
    """As programs that join lists write them."""
    assert list(parse_positions("abcdefgh-1, nonsense, annsbox1-2")) == ["abcdefgh", "annsbox1"]
