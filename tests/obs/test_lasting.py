"""A state that lasts is told when it begins, and then once a minute."""

from __future__ import annotations

from bridge.obs.lasting import Lasting


def test_a_state_is_told_at_once_and_then_each_minute() -> None:
    """However often it is met; and at once again after it was over."""
    clock = 0.0
    state = Lasting(again_s=60.0, clock=lambda: clock)
    told = []
    for clock in (0.0, 1.0, 59.9, 60.0, 61.0, 119.9, 120.5):
        if state.is_due():
            told.append(clock)
    assert told == [0.0, 60.0, 120.5]
    state.over()
    assert state.is_due()
    assert not state.is_due()
