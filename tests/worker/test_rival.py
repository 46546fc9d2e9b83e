"""When sessions that end mean another listener; on a clock of the test's own."""

from __future__ import annotations

import pytest

from bridge.worker.rival import Rival


class Clock:
    now_s = 5000.0


def rival() -> tuple[Rival, Clock]:
    clock = Clock()
    return Rival(pause_s=100, now=lambda: clock.now_s), clock


def test_three_times_in_ten_minutes_is_a_conflict() -> None:
    """Minutes away, and not the same for two bridges that fight."""
    pauses = set()
    for _ in range(10):
        found, clock = rival()
        assert found.displaced(2) is None
        clock.now_s += 290
        assert found.displaced(2) is None
        clock.now_s += 290
        pause_s = found.displaced(2)
        assert pause_s is not None
        assert 75 <= pause_s <= 125
        pauses.add(pause_s)
    assert len(pauses) > 1


def test_what_is_older_than_ten_minutes_does_not_count() -> None:
    """A displacement now and then is a restart somewhere."""
    found, clock = rival()
    for _ in range(10):
        assert found.displaced(2) is None
        clock.now_s += 301


def test_after_the_pause_one_more_is_enough() -> None:
    """The other is still there: no second fight."""
    found, clock = rival()
    for _ in range(2):
        found.displaced(2)
    assert found.displaced(2) is not None
    clock.now_s += 120
    assert found.displaced(2) is not None


@pytest.mark.parametrize("lived_s", [0.01, 60, 3600])
def test_neither_an_answer_that_closes_nor_a_long_life_is_a_displacement(lived_s: float) -> None:
    """A provider that closes with its answer, and one that holds connections for a minute, have nobody else."""
    found, _ = rival()
    assert not any(found.displaced(lived_s) for _ in range(10))
