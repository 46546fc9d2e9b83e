"""``edge --workers``: which of its children an edge takes for one that hangs."""

from __future__ import annotations

import time

import pytest

from bridge.app.processes import _Child


@pytest.mark.parametrize(
    ("listens", "silent_s", "hangs", "why"),
    [
        (True, 1, False, None),
        (True, 7, False, "process"),
        (True, 12, True, "process"),
        (False, 12, False, "starting"),
        (False, 50, False, "starting"),
        (False, 100, True, "starting"),
    ],
)
def test_who_has_not_begun_yet_has_time(listens: bool, silent_s: float, hangs: bool, why: str | None) -> None:
    """On a busy machine a start takes longer than any pause of who has begun; whoever were ended then would never be
    there, nor the next one in its place."""
    child = _Child(0, heard_at=time.monotonic() - silent_s)
    if listens:
        child.listens, child.why_not_ready = True, None
    assert child.hangs() is hangs
    verdict = child.verdict()
    assert (None if verdict is None else verdict.reason) == why
