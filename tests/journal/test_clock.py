"""Redis's clock, as a process has it between two looks."""

from __future__ import annotations

import pytest

from bridge.journal.clock import SharedClock


class Machine:
    """One with a clock of its own, and a server with another."""

    def __init__(self) -> None:
        self.wall_s = 5000.0
        self.now_s = 10.0
        self.server_s = 1000.0
        self.under_way_s = 0.0
        self.clock = SharedClock(self.ask, wall=lambda: self.wall_s, now=lambda: self.now_s)

    async def ask(self) -> int:
        self.now_s += self.under_way_s / 2
        said = int(self.server_s * 1000)
        self.now_s += self.under_way_s / 2
        return said


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def test_it_is_redis_s_from_the_first_look_on(machine: Machine) -> None:
    """However long that took; before it there is nothing better than our own."""
    assert machine.clock() == 5000
    machine.under_way_s = 4
    await machine.clock.look()
    assert machine.clock() == 1002


async def test_it_goes_on_between_two_looks_whoever_sets_the_machine_s(machine: Machine) -> None:
    """By what nobody can set."""
    await machine.clock.look()
    machine.wall_s -= 3600
    machine.now_s += 7
    assert machine.clock() == 1007


async def test_another_server_s_time_is_taken_over_unless_it_was_long_under_way(machine: Machine) -> None:
    """A slow answer says less than the one before it."""
    await machine.clock.look()
    machine.server_s, machine.under_way_s = 970, 3
    await machine.clock.look()
    assert machine.clock() == 1003
    machine.under_way_s = 0
    await machine.clock.look()
    assert machine.clock() == 970
