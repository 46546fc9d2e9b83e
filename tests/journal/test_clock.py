"""Redis's clock, as a process has it between two looks."""

from __future__ import annotations

import pytest

from bridge.journal.clock import SharedClock


class Machine:
    """One with a clock of its own, and a server whose clock is ``ahead_s`` of our monotonic one.

    ``under_way_s``: how long the next questions and their answers are, each; when there are no more, both take none.
    """

    def __init__(self) -> None:
        self.wall_s = 5000.0
        self.now_s = 10.0
        self.ahead_s = 990.0
        self.under_way_s: list[tuple[float, float]] = []
        self.clock = SharedClock(self.ask, wall=lambda: self.wall_s, now=lambda: self.now_s)

    async def ask(self) -> int:
        there_s, back_s = self.under_way_s.pop(0) if self.under_way_s else (0, 0)
        self.now_s += there_s
        said = round((self.now_s + self.ahead_s) * 1e6)
        self.now_s += back_s
        return said

    @property
    def wrong_s(self) -> float:
        """How much of the server's clock ours is ahead."""
        return round(self.clock() - self.now_s - self.ahead_s, 6)


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def test_it_is_redis_s_from_the_first_look_on(machine: Machine) -> None:
    """However long that took; before it there is nothing better than our own. Of two that are slow the middle is right
    if there and back took equally long."""
    assert machine.clock() == 5000
    machine.under_way_s = [(2, 2), (2, 2)]
    await machine.clock.look()
    assert machine.wrong_s == 0


async def test_it_goes_on_between_two_looks_whoever_sets_the_machine_s(machine: Machine) -> None:
    """By what nobody can set."""
    await machine.clock.look()
    machine.wall_s -= 3600
    machine.now_s += 7
    assert machine.clock() == 1007


async def test_that_the_first_question_had_to_dial_is_no_error(machine: Machine) -> None:
    """It is asked again at once."""
    machine.under_way_s = [(0.030, 0.001), (0.001, 0.001)]
    await machine.clock.look()
    assert abs(machine.wrong_s) <= 0.001


async def test_another_server_s_time_is_taken_over_as_far_as_an_answer_proves_it(machine: Machine) -> None:
    """One that was three seconds under way leaves three seconds open."""
    await machine.clock.look()
    machine.ahead_s, machine.under_way_s = 960, [(1, 2)]
    await machine.clock.look()
    assert machine.wrong_s == 1
    await machine.clock.look()
    assert machine.wrong_s == 0


async def test_a_slow_answer_does_not_spoil_what_a_fast_one_said(machine: Machine) -> None:
    """It says less than the one before it."""
    await machine.clock.look()
    machine.under_way_s = [(0, 4)]
    await machine.clock.look()
    assert machine.wrong_s == 0


async def test_it_is_as_exact_as_redis_s(machine: Machine) -> None:
    """To the microsecond, if the answer comes at once."""
    machine.ahead_s = 990.000_75
    await machine.clock.look()
    assert machine.wrong_s == 0
