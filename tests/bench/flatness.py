"""Whether a series of readings stays where it is, or grows (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Growth:
    """What a straight line through the readings gains from the first to the last; ``sure``: what of it is beyond two
    standard errors, so that readings that jump about are not taken for ones that grow."""

    mean: float
    gained: float
    sure: float


def growth(readings: Sequence[tuple[float, float]]) -> Growth:
    """Fit a line to (seconds, value) by least squares; at least three readings."""
    n = len(readings)
    mean_at, mean = sum(at for at, _ in readings) / n, sum(value for _, value in readings) / n
    spread = sum((at - mean_at) ** 2 for at, _ in readings)
    slope = sum((at - mean_at) * (value - mean) for at, value in readings) / spread
    left = sum((value - mean - slope * (at - mean_at)) ** 2 for at, value in readings)
    lasting = readings[-1][0] - readings[0][0]
    error = 2 * sqrt(left / (n - 2) / spread) * lasting
    gained = slope * lasting
    return Growth(mean, gained, max(0.0, gained - error))


def is_flat(found: Growth, *, share: float, least: float) -> bool:
    """Whether it surely gains no more than this share of its mean, or than ``least`` in its own unit."""
    return found.sure <= max(abs(found.mean) * share, least)
